"""What all scripts share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flaxmark.cli.command import HUGE_PAGES, ConfigArguments, Parser, config_from_arguments, explain, new_file
from helpers.commands import run_command

from flaxmark.errors import ConfigError


def test_whatever_fails_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(RuntimeError("first\n  second")) == 1
    assert capsys.readouterr().err == "error: RuntimeError: first second (--debug shows where)\n"


@pytest.mark.parametrize("arguments", [["--config"], ["--config", "--workdir", "x"], ["--config="], ["--config", "-h"]])
def test_a_flag_without_its_file_is_named(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="--config: names no file"):
        config_from_arguments(ConfigArguments, "", arguments)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        new_file(str(tmp_path / "x.csv"), True, (".csv",))


SHOW = """
import json, os
from flaxmark.cli.command import run_command
run_command(lambda arguments: print(json.dumps([os.getpid(), os.environ["GLIBC_TUNABLES"], arguments])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of glibc")
@pytest.mark.parametrize("already", [None, "glibc.malloc.arena_max=4"])
def test_scripts_start_themselves_with_huge_pages(already: str | None) -> None:
    """In the same process and with the same arguments; what the user has set stays."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    if already:
        environment["GLIBC_TUNABLES"] = already
    line = [sys.executable, "-c", SHOW, "--name", "two words"]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate()
    assert json.loads(output) == [process.pid, already or HUGE_PAGES, ["--name", "two words"]]


BUSY = """
import threading, time
from flaxmark.cli.command import run_command

def main(arguments):
    threading.Thread(target=time.sleep, args=(100,)).start()  # such as a compilation
    raise KeyboardInterrupt("what was done")

run_command(main)
"""


WAITING = """
import signal
from flaxmark.cli.command import run_command

def main(arguments):
    print("ready", flush=True)
    try:
        signal.pause()
    finally:  # what it had to put away is put away, although the signal comes twice
        signal.raise_signal(signal.SIGTERM)

run_command(main)
"""


def test_sigterm_has_its_status_wherever_it_comes() -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WAITING], **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert said == "\ninterrupted by SIGTERM; give the same command again\n"


REPORTING = """
import sys, threading, time
from pathlib import Path
from flaxmark.cli.command import run_command

def main(arguments):
    for _ in range(8):  # a signal that comes while the main thread takes another one goes to one of the others
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    print("ready", flush=True)
    while True:
        Path(sys.argv[1]).write_text("figures")

run_command(main)
"""


@pytest.mark.parametrize("count", [1, 2, 40])
def test_sigterm_during_the_report_is_one_line_however_often_it_comes(tmp_path: Path, count: int) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    line = [sys.executable, "-c", REPORTING, str(tmp_path / "table.md")]
    with subprocess.Popen(line, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        for _ in range(count):
            process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert said == "\ninterrupted by SIGTERM; give the same command again\n"


@pytest.mark.parametrize("arguments", [["--workdir", ""], ["--workdir="]])
def test_a_variable_that_is_not_set_is_no_flag_left_out(environment: dict[str, str], arguments: list[str]) -> None:
    done = run_command(environment, "predict", "a.png", *arguments)
    assert done.returncode == 2
    assert done.stderr == "error: --workdir: is empty; is a variable of the shell not set?\n"


def test_a_script_without_a_config_complains_in_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser()
    parser.add_argument("--format", choices=("a", "b"))
    with pytest.raises(ConfigError, match=r"^argument --format: invalid choice: 'c' .*; --help shows all flags$"):
        parser.parse_args(["--format", "c"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.jpg").touch()
    with pytest.raises(ConfigError, match=r"^unrecognized arguments: -dash.jpg; is it the file ./-dash.jpg\?$"):
        parser.parse_args(["-dash.jpg"])


def test_ctrl_c_waits_for_no_thread() -> None:
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "\ninterrupted what was done\n"
