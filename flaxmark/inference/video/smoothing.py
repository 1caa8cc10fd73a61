"""Smoothing of landmarks from frame to frame."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class OneEuroConfig:
    """Constants of the One Euro filter; speeds are measured in sides of the face's box per second.

    Attributes:
        min_cutoff: Cutoff frequency of a point at rest in Hz; a lower one smooths more.
        beta: Increase of the cutoff frequency in Hz per unit of speed; a higher one follows motion faster. The
            published constant is for pixels of a screen per second; this one was measured (docs/guide/video.md).
        d_cutoff: Cutoff frequency of the speed in Hz.
    """

    min_cutoff: float = 1.0
    beta: float = 10.0
    d_cutoff: float = 1.0


class OneEuroFilter:
    """A low-pass filter whose cutoff rises with the speed: still points do not jitter, and moving ones do not lag.

    Casiez, Roussel, Vogel, "1 euro filter: a simple speed-based low-pass filter for noisy input in interactive
    systems", CHI 2012, algorithm 1: with the frame's duration T, a = 1 / (1 + 1 / (2 pi f T)) is the weight of the
    new value; the speed is smoothed at `d_cutoff`, and the value at f = min_cutoff + beta |speed|.
    """

    def __init__(self, config: OneEuroConfig) -> None:
        """Start without history."""
        self._config = config
        self._seconds = math.nan
        self._value: np.ndarray | None = None
        self._speed = np.zeros(())

    def __call__(self, points: Float[np.ndarray, "n 2"], seconds: float, unit: float) -> Float[np.ndarray, "n 2"]:
        """Smooth the points of the next frame, in pixels; `unit` is the side of the face's box in pixels.

        Points of the first frame, or of a time that is not later than the last one, are returned as they are.
        """
        points = np.asarray(points, np.float64)
        duration = seconds - self._seconds
        if self._value is None or self._value.shape != points.shape or not duration > 0:
            self._value, self._seconds, self._speed = points, seconds, np.zeros_like(points)
            return points
        config = self._config
        speed = (points - self._value) / (duration * unit)
        self._speed = self._speed + _weight(config.d_cutoff, duration) * (speed - self._speed)
        # One cutoff per point: x and y move together.
        cutoff = config.min_cutoff + config.beta * np.linalg.norm(self._speed, axis=-1, keepdims=True)
        self._value = self._value + _weight(cutoff, duration) * (points - self._value)
        self._seconds = seconds
        return self._value


def _weight(cutoff: np.ndarray | float, duration: float) -> np.ndarray:
    """Weight of a new value in exponential smoothing with a cutoff frequency in Hz."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * duration)))
