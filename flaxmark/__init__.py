"""Train, evaluate and run 68-point face alignment in JAX/Flax."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Face", "Predictor", "__version__", "predict", "predict_many"]

if TYPE_CHECKING:
    from flaxmark.inference import Face, Predictor, predict, predict_many


def __getattr__(name: str) -> Any:
    """Load what is asked for at its first use: `import flaxmark` costs nothing and starts no device."""
    if name in __all__:
        from flaxmark import inference

        return getattr(inference, name)
    raise AttributeError(f"module 'flaxmark' has no attribute {name!r}")
