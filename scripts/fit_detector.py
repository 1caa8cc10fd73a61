"""python scripts/fit_detector.py: the same as `flaxmark fit-detector`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("fit-detector", sys.argv[1:])
