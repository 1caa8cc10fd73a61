"""python scripts/demo.py: the same as `flaxmark demo`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("demo", sys.argv[1:])
