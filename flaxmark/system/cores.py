"""CPU cores that this process may use: batch systems and sweeps restrict them."""

import os


def core_numbers() -> list[int]:
    """Numbers of the cores that this process may use; empty where the system cannot tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def usable_cores() -> int:
    """Number of cores that this process may use, at least 1."""
    return len(core_numbers()) or os.cpu_count() or 1
