"""The few array functions that sampling images needs, for NumPy, JAX, or an exported graph."""

from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

Values = Any
"""An array of the library in use, or a number."""


class ArrayLibrary(Protocol):
    """Functions that a library provides; numbers may stand for arrays."""

    def floor(self, x: Values) -> Values:
        """Largest integer not above x."""

    def maximum(self, x: Values, y: Values) -> Values:
        """Elementwise maximum."""

    def minimum(self, x: Values, y: Values) -> Values:
        """Elementwise minimum."""

    def less(self, x: Values, y: Values) -> Values:
        """1.0 where x < y, else 0.0."""

    def absolute(self, x: Values) -> Values:
        """Absolute value."""

    def arange(self, count: int) -> Values:
        """0, 1, .. count - 1 as float32."""

    def column(self, x: Values) -> Values:
        """`[count]` as `[count, 1]`."""


class ModuleLibrary:
    """The functions of a module: numpy or jax.numpy."""

    def __init__(self, module: Any) -> None:
        """Use a module's functions."""
        self._module = module
        self.floor, self.absolute = module.floor, module.abs

    def maximum(self, x: Any, y: Any) -> Any:
        """Elementwise maximum."""
        return self._module.maximum(self._module.float32(x), self._module.float32(y))

    def minimum(self, x: Any, y: Any) -> Any:
        """Elementwise minimum."""
        return self._module.minimum(self._module.float32(x), self._module.float32(y))

    def less(self, x: Any, y: Any) -> Any:
        """1.0 where x < y, else 0.0."""
        return (self._module.float32(x) < self._module.float32(y)).astype(self._module.float32)

    def arange(self, count: int) -> Any:
        """0, 1, .. count - 1 as float32."""
        return self._module.arange(count, dtype=np.float32)

    def column(self, x: Any) -> Any:
        """`[count]` as `[count, 1]`."""
        return x[:, None]


NUMPY, JAX = ModuleLibrary(np), ModuleLibrary(jnp)
