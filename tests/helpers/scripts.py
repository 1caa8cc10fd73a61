"""The project's scripts: started as people start them, or called in this process."""

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flaxmark.cli.command import explain

from flaxmark.errors import ConfigError

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"  # where `python -m helpers.NAME` finds this package
Environment = dict[str, str]


def script_line(script: str, *arguments: str | Path) -> list[str]:
    """What starts it in `ROOT`."""
    return [sys.executable, f"scripts/{script}.py", *map(str, arguments)]


def run_script(environment: Environment, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = script_line(script, *arguments)
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)


def script_main(script: str) -> Callable[[list[str]], Any]:
    """Its `main`, for this process: a start of each takes seconds."""
    name = f"scripts_{script}"
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # where tyro looks for help texts
    spec.loader.exec_module(module)
    return module.main  # type: ignore[no-any-return]


def refusal(script: str, *arguments: str | Path) -> str:
    """What a script says that leaves the rest to its user."""
    with contextlib.chdir(ROOT), pytest.raises(ConfigError) as caught:
        script_main(script)([str(argument) for argument in arguments])
    assert explain(caught.value) == 2
    return str(caught.value)
