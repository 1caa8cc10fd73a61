"""Signals end the commands at once, with their own statuses."""

import subprocess
from pathlib import Path

import pytest
from helpers.commands import as_command

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


BUSY = """
import sys, threading, time
from flaxmark.cli.main import run_main

def main(arguments):
    threading.Thread(target=time.sleep, args=(100,)).start()  # such as a compilation
    raise KeyboardInterrupt("what was done")

run_main(main, sys.argv[1:])
"""


def test_ctrl_c_waits_for_no_thread(tmp_path: Path) -> None:
    done = subprocess.run(as_command(tmp_path, BUSY), capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "\ninterrupted what was done\n"


WAITING = """
import signal, sys
from flaxmark.cli.main import run_main

def main(arguments):
    print("ready", flush=True)
    try:
        signal.pause()
    finally:  # what it had to put away is put away, although the signal comes twice
        signal.raise_signal(signal.SIGTERM)

run_main(main, sys.argv[1:])
"""


def test_sigterm_has_its_status_wherever_it_comes(tmp_path: Path) -> None:
    with subprocess.Popen(as_command(tmp_path, WAITING), **PIPES) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert said == "\ninterrupted by SIGTERM; give the same command again\n"


REPORTING = """
import sys, threading, time
from pathlib import Path
from flaxmark.cli.main import run_main

def main(arguments):
    for _ in range(8):  # a signal that comes while the main thread takes another one goes to one of the others
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    print("ready", flush=True)
    while True:
        Path(sys.argv[1]).write_text("figures")

run_main(main, sys.argv[1:])
"""


@pytest.mark.parametrize("count", [1, 2, 40])
def test_sigterm_during_the_report_is_one_line_however_often_it_comes(tmp_path: Path, count: int) -> None:
    line = [*as_command(tmp_path, REPORTING), str(tmp_path / "table.md")]
    with subprocess.Popen(line, **PIPES) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        for _ in range(count):
            process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert said == "\ninterrupted by SIGTERM; give the same command again\n"
