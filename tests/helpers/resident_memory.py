"""What the system says that a process holds in memory; Linux alone says so."""

import os
from pathlib import Path

STATUS = Path("/proc/self/status")


def resident(process: int) -> int:
    """Bytes that a process holds now."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most bytes that this process has held; `ru_maxrss` would count those of the one that started it, too."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024
