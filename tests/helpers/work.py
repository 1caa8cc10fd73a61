"""What test_workers.py has done in worker processes, which load as little as this module does."""

import os
import signal
import sys
import time
from pathlib import Path

from flaxmark.errors import ConfigError


def negative(number: int) -> int:
    return -number


def note(number: int, folder: Path) -> int:
    (folder / str(number)).touch()
    return os.getpid()


def loaded(_: int) -> list[str]:
    import flaxmark.data.prepare.collect
    import flaxmark.data.prepare.drawn_faces  # noqa: F401

    print("this is no answer")
    return [name for name in ("jax", "tensorflow", "flax", "pytest") if name in sys.modules]


def die(number: int) -> None:
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> None:
    raise ConfigError(f"not {number}")


def sleep(_: int) -> None:
    time.sleep(0.05)
