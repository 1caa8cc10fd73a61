"""python scripts/train.py: the same as `flaxmark train`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
