"""python scripts/aot.py: the same as `flaxmark aot`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("aot", sys.argv[1:])
