"""Modules of benchmarks/, which are no package."""

import importlib
import sys
from types import ModuleType

import pytest

from helpers.commands import ROOT


def benchmark_module(name: str) -> ModuleType:
    """Import a module of benchmarks/ by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        return importlib.import_module(name)
