"""Steady points from frame to frame."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class OneEuroConfig:
    """The three constants of the One Euro filter, for points in sides of the face's box.

    Attributes:
        min_cutoff: Cutoff frequency of a point at rest, Hz: lower is steadier.
        beta: Hz by which the cutoff rises for each side of the box a second: higher follows faster. The published one
            is per pixel a second on a screen; this one was chosen by measuring (docs/video.md).
        d_cutoff: Cutoff frequency of the speed, Hz.
    """

    min_cutoff: float = 1.0
    beta: float = 10.0
    d_cutoff: float = 1.0


class OneEuroFilter:
    """A low-pass whose cutoff rises with the speed, so that rest is steady and motion is not late.

    Casiez, Roussel, Vogel, "1 euro filter: a simple speed-based low-pass filter for noisy input in interactive
    systems", CHI 2012, algorithm 1: with the frame's duration T, a = 1 / (1 + 1 / (2 pi f T)) is the weight of the
    new value; the speed is smoothed at `d_cutoff`, and the value at f = min_cutoff + beta |speed|.
    """

    def __init__(self, config: OneEuroConfig) -> None:
        """Start without a past.

        Args:
            config: Its constants.
        """
        self._config = config
        self._seconds = math.nan
        self._value: np.ndarray | None = None
        self._speed = np.zeros(())

    def __call__(self, points: np.ndarray, seconds: float, unit: float) -> np.ndarray:
        """Smooth the next points.

        Args:
            points: `[n, 2]`, pixels.
            seconds: When, later than the last time; points of the same time are given back as they are.
            unit: Side of the face's box, pixels: what speed is measured in.

        Returns:
            float64 `[n, 2]`, pixels; the first ones as they are.
        """
        points = np.asarray(points, np.float64)
        duration = seconds - self._seconds
        if self._value is None or self._value.shape != points.shape or not duration > 0:
            self._value, self._seconds, self._speed = points, seconds, np.zeros_like(points)
            return points
        config = self._config
        speed = (points - self._value) / (duration * unit)
        self._speed = self._speed + _weight(config.d_cutoff, duration) * (speed - self._speed)
        # One cutoff a point: x and y of a point move together.
        cutoff = config.min_cutoff + config.beta * np.linalg.norm(self._speed, axis=-1, keepdims=True)
        self._value = self._value + _weight(cutoff, duration) * (points - self._value)
        self._seconds = seconds
        return self._value


def _weight(cutoff: np.ndarray | float, duration: float) -> np.ndarray:
    """Of a new value in exponential smoothing with that cutoff frequency."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * duration)))
