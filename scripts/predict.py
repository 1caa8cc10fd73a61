"""python scripts/predict.py: the same as `flaxmark predict`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("predict", sys.argv[1:])
