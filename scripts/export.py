"""python scripts/export.py: the same as `flaxmark export`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("export", sys.argv[1:])
