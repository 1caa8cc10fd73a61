"""Names for arrays by shape and unit. NumPy types only, because faces are drawn in processes that do not load JAX."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
"""Any shape and precision."""

Array = NDArray[np.float32]
"""Any shape, single precision."""

Mask = NDArray[np.bool_]
"""Any shape."""

Image = NDArray[np.float32]
"""`[size, size, 3]`: RGB on the display scale, nominally in [0, 1]."""

Plane = NDArray[np.float32]
"""`[size, size]`: one value for each pixel of an image."""

Tile = NDArray[np.float32]
"""`[256, 256]`: periodic noise with mean 0 and standard deviation 1."""

Values = NDArray[np.float32]
"""`[n]`: one value for each painted pixel, such as its frontal x or y in face units."""

Colours = NDArray[np.float32]
"""`[n, 3]`: RGB of each painted pixel, on the display scale unless named light."""

Landmarks = NDArray[np.float64]
"""`[68, 2]`: (x, y) in face units or in pixels."""

Points = NDArray[np.float64]
"""`[..., 2]` or `[..., 3]`: frontal coordinates or positions in face units."""

Grid = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Positions `[rows, columns, 3]` in face units, and surface coordinates `[rows, columns, k]`."""
