"""The few array functions that upright crops are made of: of NumPy, of JAX, or of a graph that is being written."""

from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

Array = Any  # of whatever library computes


class ArrayLibrary(Protocol):
    """What a library has to offer; numbers may stand for arrays."""

    def floor(self, x: Array) -> Array:
        """Largest whole number not above x."""

    def maximum(self, x: Array, y: Array) -> Array:
        """The larger of two."""

    def minimum(self, x: Array, y: Array) -> Array:
        """The smaller of two."""

    def less(self, x: Array, y: Array) -> Array:
        """1.0 where x < y, else 0.0."""

    def absolute(self, x: Array) -> Array:
        """Absolute value."""

    def arange(self, count: int) -> Array:
        """float32 `[count]`: 0, 1 .."""

    def column(self, x: Array) -> Array:
        """`[count]` as `[count, 1]`."""


class ModuleLibrary:
    """The same of a module: numpy or jax.numpy."""

    def __init__(self, module: Any) -> None:
        """Take the module's functions."""
        self._module = module
        self.floor, self.absolute = module.floor, module.abs

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger of two."""
        return self._module.maximum(self._module.float32(x), self._module.float32(y))

    def minimum(self, x: Any, y: Any) -> Any:
        """The smaller of two."""
        return self._module.minimum(self._module.float32(x), self._module.float32(y))

    def less(self, x: Any, y: Any) -> Any:
        """1.0 where x < y, else 0.0."""
        return (self._module.float32(x) < self._module.float32(y)).astype(self._module.float32)

    def arange(self, count: int) -> Any:
        """float32 `[count]`: 0, 1 .."""
        return self._module.arange(count, dtype=np.float32)

    def column(self, x: Any) -> Any:
        """`[count]` as `[count, 1]`."""
        return x[:, None]


NUMPY, JAX = ModuleLibrary(np), ModuleLibrary(jnp)
