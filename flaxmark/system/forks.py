"""Forked processes: JAX has threads, which a fork does not have, so that whatever waits for them would hang."""

import os
import sys

from flaxmark.errors import DeviceError

_used_here = False  # JAX, or a detector with threads
_used_before_fork = False


def _forked() -> None:
    global _used_before_fork
    bridge = sys.modules.get("jax._src.xla_bridge")  # the caller may have used JAX, too
    started = getattr(bridge, "backends_are_initialized", bool)()
    _used_before_fork = _used_before_fork or _used_here or started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def refuse_fork() -> None:
    """Raise DeviceError in a fork of a process that has called this before, or that has used JAX."""
    global _used_here
    if _used_before_fork:
        raise DeviceError(
            "this process is a fork of one that has used JAX, and would hang; start it with "
            "multiprocessing.get_context('spawn')"
        )
    _used_here = True
