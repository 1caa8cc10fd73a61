"""Whether this process is flaxmark's own command: only then may it be started again, ended at once, or take signals."""

import contextlib
import os
import sys
import threading
from pathlib import Path

HUGE_PAGES = "glibc.malloc.hugetlb=1"
SCRIPTS = Path(__file__).parents[2] / "scripts"


def is_own_process() -> bool:
    """Whether Python was started for nothing but a command of flaxmark.

    It was not in a notebook (`%run`), below `runpy`, a debugger or a profiler, with `python -` or `-c`, and where
    another program calls the command.
    """
    if sys.gettrace() is not None or threading.current_thread() is not threading.main_thread():
        return False
    count = len(sys.orig_argv) - len(sys.argv) + 1
    program, spec = sys.orig_argv[:count], getattr(sys.modules.get("__main__"), "__spec__", None)
    if sys.orig_argv[count:] != sys.argv[1:]:
        return False
    if spec is not None:
        return spec.name == "flaxmark.__main__" and program[-1] in ("flaxmark", "-mflaxmark")
    path = Path(program[-1])
    return program[-1] == sys.argv[0] and (path.stem == "flaxmark" or path.absolute().parent == SCRIPTS)


def use_huge_pages() -> None:
    """Start this process again with memory in huge pages, where glibc can and it is flaxmark's own.

    XLA takes the memory of a step from the system and gives it back each time; in pages of 4 KB that costs a tenth
    of the step on a CPU (docs/results/speed.md). glibc reads its tunables only when a program starts.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = HUGE_PAGES
        with contextlib.suppress(OSError):  # it is only faster
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
