"""The cores that this process may use: a sweep deals them out, as batch systems do."""

import os


def core_numbers() -> list[int]:
    """Numbers of the cores that this process may use; none where the system cannot say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def usable_cores() -> int:
    """How many cores this process may use, at least 1."""
    return len(core_numbers()) or os.cpu_count() or 1
