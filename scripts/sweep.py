"""python scripts/sweep.py: the same as `flaxmark sweep`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("sweep", sys.argv[1:])
