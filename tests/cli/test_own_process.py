"""Commands inside other programs: notebooks, debuggers, web servers."""

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from helpers.commands import ROOT

from flaxmark.cli.own_process import is_own_process

SCRIPT = str(ROOT / "scripts" / "draw_faces.py")
# What a program sees after the command has run in it.
CHECK = """
import os, signal
print("pid", os.getpid(), os.environ.get("GLIBC_TUNABLES"), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""
RUNPY = (
    f"import runpy, sys\nsys.argv = [{SCRIPT!r}, '--out', 'x.png']\nrunpy.run_path(sys.argv[0], run_name='__main__')"
)
IMPORTED = "from flaxmark.cli.main import run\nrun('draw', ['--out', 'x.png'])"
IN_A_THREAD = f"import threading\ndef work():\n    {IMPORTED.replace(chr(10), '; ')}\nt = threading.Thread(target=work)"
IN_A_THREAD += "\nt.start()\nt.join()"
NO_FILES = (
    f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {IMPORTED.replace(chr(10), '; ')}"
)
MAGIC = f"get_ipython().run_line_magic('run', {SCRIPT + ' --out x.png'!r})"


@pytest.mark.parametrize(
    ("started", "inside"),
    [("file", RUNPY), ("-", IMPORTED), ("-c", IN_A_THREAD), ("file", NO_FILES), ("IPython", MAGIC)],
)
def test_a_program_that_runs_a_command_keeps_its_process(started: str, inside: str, tmp_path: Path) -> None:
    if started == "IPython":
        pytest.importorskip("IPython")
    (tmp_path / "own.py").write_text(inside + CHECK)
    notebook = ["-m", "IPython", "--no-banner", "--quick", "-c", inside + CHECK]
    line = {"-c": ["-c", inside + CHECK], "-": ["-"], "file": ["own.py"], "IPython": notebook}[started]
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, *line], cwd=tmp_path, env=environment, text=True, **pipes)  # type: ignore[call-overload]
    said, errors = process.communicate(inside + CHECK if started == "-" else "", timeout=100)
    assert said.splitlines()[-1] == f"pid {process.pid} None True", errors
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("line", "arguments", "module", "own"),
    [
        (["python", SCRIPT, "--out", "x"], [SCRIPT, "--out", "x"], None, True),
        (["python", "-X", "dev", "/usr/bin/flaxmark", "draw"], ["/usr/bin/flaxmark", "draw"], None, True),
        (["python", "-m", "flaxmark", "draw"], [str(ROOT / "flaxmark/__main__.py"), "draw"], "flaxmark.__main__", True),
        (["python", "-m", "flaxmark.other", "draw"], ["other.py", "draw"], "flaxmark.other", False),
        (["python", "-m", "pdb", SCRIPT, "--out"], [SCRIPT, "--out"], "pdb", False),
        (["python", "-m", "cProfile", SCRIPT, "--out"], [SCRIPT, "--out"], "cProfile", False),
        (["python", "-m", "ipykernel_launcher", "-f", "x.json"], [SCRIPT], "ipykernel_launcher", False),
        (["python", "server.py"], ["server.py"], None, False),
        (["python", "server.py"], [SCRIPT], None, False),
        (["python", "-c", "code", "draw"], ["-c", "draw"], None, False),
        (["python", "-"], ["-"], None, False),
        (["python"], [""], None, False),
    ],
)
def test_whose_process_it_is(
    line: list[str], arguments: list[str], module: str | None, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ModuleType("__main__")
    main.__spec__ = None if module is None else ModuleSpec(module, None)
    monkeypatch.setattr(sys, "orig_argv", line)
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "gettrace", lambda: None)  # coverage has one
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert is_own_process() == own
    monkeypatch.setattr(sys, "gettrace", lambda: print)
    assert not is_own_process()


INTERRUPTED = """
from flaxmark.cli.main import run_main

def main(arguments):
    raise KeyboardInterrupt("what was done")

try:
    run_main(main, [])
except SystemExit as stop:
    print("goes on", stop.code)
"""


def test_ctrl_c_ends_the_command_alone() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "goes on 130\n", done.stderr
