"""python scripts/report.py: the same as `flaxmark report`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("report", sys.argv[1:])
