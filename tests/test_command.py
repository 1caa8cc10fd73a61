"""What all scripts share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flaxmark.command import HUGE_PAGES, ConfigArguments, config_from_arguments, explain, new_file
from flaxmark.config import ConfigError


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
from flaxmark.command import run_command
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
from flaxmark.command import run_command

def main(arguments):
    threading.Thread(target=time.sleep, args=(100,)).start()  # such as a compilation
    raise KeyboardInterrupt("what was done")

run_command(main)
"""


def test_ctrl_c_waits_for_no_thread() -> None:
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "\ninterrupted what was done\n"
