"""python scripts/evaluate.py: the same as `flaxmark evaluate`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("evaluate", sys.argv[1:])
