"""matplotlib without windows, whatever MPLBACKEND asks for; import it from here only.

Figures are drawn without pyplot, so that a notebook keeps its own backend and open figures. The variable is checked all
the same when matplotlib is loaded: a notebook leaves its own there for programs that it starts, which may not have it.
"""

import contextlib
import os
import sys

from flaxmark.system.files import cache_dir

if not os.path.isabs(os.path.expanduser("~")):
    os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))  # it would complain
_asked = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator
finally:
    if _asked is not None:
        os.environ["MPLBACKEND"] = _asked
if _asked:
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = _asked  # as it does itself, for pyplot in the user's program

__all__ = ["Axes", "Figure", "Line2D", "LogLocator"]
