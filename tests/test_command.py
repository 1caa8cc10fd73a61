"""What all scripts share."""

import json
import os
import subprocess
import sys

import pytest

from flaxmark.command import HUGE_PAGES

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
