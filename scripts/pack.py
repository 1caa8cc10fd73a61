"""python scripts/pack.py: the same as `flaxmark pack`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("pack", sys.argv[1:])
