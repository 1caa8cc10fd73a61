"""Commands of flaxmark: started as people start them, or called in this process."""

import contextlib
import importlib
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flaxmark.errors import FlaxmarkError, explain

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"  # where `python -m helpers.NAME` finds this package
Environment = dict[str, str]


def command_line(command: str, *arguments: str | Path) -> list[str]:
    """What starts it in `ROOT`."""
    return [sys.executable, "-m", "flaxmark", command, *map(str, arguments)]


def as_command(folder: Path, code: str) -> list[str]:
    """What starts a program as its own process, as the command that pip installs is."""
    path = folder / "flaxmark"
    path.write_text(code)
    return [sys.executable, str(path)]


def run_command(environment: Environment, command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end in a process of its own."""
    line = command_line(command, *arguments)
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)


def command_main(command: str) -> Callable[[list[str]], Any]:
    """Its `main`, for this process: a start of each takes seconds."""
    module = importlib.import_module(f"flaxmark.cli.commands.{command.replace('-', '_')}")
    return module.main  # type: ignore[no-any-return]


def refusal(command: str, *arguments: str | Path) -> str:
    """The line of a command that leaves the rest to its user."""
    with contextlib.chdir(ROOT), pytest.raises(FlaxmarkError) as caught:
        command_main(command)([str(argument) for argument in arguments])
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert explain(caught.value) == 2
    return said.getvalue().removesuffix("\n")
