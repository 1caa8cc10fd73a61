"""python scripts/draw_faces.py: the same as `flaxmark draw`."""

import sys

from flaxmark.cli.main import run

if __name__ == "__main__":
    run("draw", sys.argv[1:])
