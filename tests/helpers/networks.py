"""Networks that a test defines."""

from collections.abc import Iterator
from contextlib import contextmanager

from flaxmark.models.model import ModelConfig


@contextmanager
def own_networks() -> Iterator[None]:
    """Networks that are defined inside are forgotten afterwards."""
    before = dict(ModelConfig.members)
    try:
        yield
    finally:
        ModelConfig.members.clear()
        ModelConfig.members.update(before)
