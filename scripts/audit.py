"""python scripts/audit.py: the same as `flaxmark audit`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("audit", sys.argv[1:])
