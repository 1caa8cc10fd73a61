"""python scripts/compare.py: the same as `flaxmark compare`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("compare", sys.argv[1:])
