"""Warnings on the terminal."""

import subprocess
import sys

WARNING = """
import sys, warnings
from flaxmark.cli.main import run_main

def main(arguments):
    for _ in range(3):
        warnings.warn("boxes are used\\nas they are", stacklevel=2)

run_main(main, sys.argv[1:])
"""


def test_a_warning_is_one_line() -> None:
    for flags, expected in (([], "warning: boxes are used as they are\n"), (["--debug"], None)):
        done = subprocess.run([sys.executable, "-c", WARNING, *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0
        assert done.stderr == expected or (expected is None and "UserWarning" in done.stderr)
