"""Train, evaluate and run 68-point face alignment in JAX/Flax."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Face", "Predictor", "__version__", "draw", "predict", "predict_many"]

if TYPE_CHECKING:
    from flaxmark.inference.api import predict, predict_many
    from flaxmark.inference.overlay import draw
    from flaxmark.inference.predictor import Face, Predictor

_HOMES = {
    "Face": "flaxmark.inference.predictor", "Predictor": "flaxmark.inference.predictor",
    "draw": "flaxmark.inference.overlay", "predict": "flaxmark.inference.api", "predict_many": "flaxmark.inference.api",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load what is asked for at its first use: `import flaxmark` costs nothing and starts no device."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'flaxmark' has no attribute {name!r}")


def __dir__() -> list[str]:
    """For completion in shells and editors, which only know what is loaded."""
    return sorted({*globals(), *__all__})
