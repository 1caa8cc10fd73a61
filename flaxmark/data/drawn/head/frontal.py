"""Frontal landmarks: proportions, identity and expression.

In face units the ears are at x = -0.5 and 0.5 and the eyes at y = 0; y points down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flaxmark.data.drawn.arrays import Landmarks, Points
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.paint.curves import smoothstep

Half = Sequence[tuple[float, ...]]

# Left half of a neutral frontal face; the right half mirrors it.
JAW = (
    (-0.515, 0.001),
    (-0.5, 0.142),
    (-0.477, 0.274),
    (-0.453, 0.415),
    (-0.41, 0.54),
    (-0.338, 0.644),
    (-0.243, 0.729),
    (-0.121, 0.786),
    (0.0, 0.791),
)
BROW = ((-0.411, -0.062), (-0.347, -0.118), (-0.257, -0.134), (-0.166, -0.122), (-0.083, -0.092))
BRIDGE = ((0.0, -0.005), (0.0, 0.08), (0.0, 0.162), (0.0, 0.248))
NOSTRIL = ((-0.095, 0.304), (-0.044, 0.321), (0.0, 0.337))
EYE = ((-0.309, 0.008), (-0.254, -0.018), (-0.188, -0.015), (-0.134, 0.02), (-0.19, 0.036), (-0.255, 0.037))
LIPS = ((-0.184, 0.465), (-0.116, 0.432), (-0.05, 0.419), (0.0, 0.425), (-0.12, 0.511), (-0.052, 0.533), (0.0, 0.538))
INNER = ((-0.157, 0.466), (-0.053, 0.465), (0.0, 0.47), (-0.053, 0.465), (0.0, 0.47))
"""Corner and upper lip, then lower lip; a closed mouth."""


def both_sides(jaw: Half, brow: Half, bridge: Half, nostril: Half, eye: Half, lips: Half, inner: Half) -> Points:
    """Values (x, y, ..) `[68, ..]` of all landmarks from those of the left half: the right half has the opposite x."""

    def mirrored(half: Half) -> list[tuple[float, ...]]:
        return [(-x, *others) for x, *others in half]

    upper, lower, other = lips[:4], lips[4:], mirrored(eye)
    points = [
        *jaw,
        *mirrored(jaw[7::-1]),
        *brow,
        *mirrored(brow[::-1]),
        *bridge,
        *nostril,
        *mirrored(nostril[1::-1]),
    ]
    points += [*eye, other[3], other[2], other[1], other[0], other[5], other[4]]
    points += [*upper, *mirrored(upper[2::-1]), *mirrored(lower[:2]), *lower[::-1]]
    points += [*inner[:3], *mirrored(inner[1::-1]), *mirrored(inner[3:4]), inner[4], inner[3]]
    return np.array(points)


def neutral_points() -> Landmarks:
    """Frontal landmarks of the mean face, face units."""
    return both_sides(JAW, BROW, BRIDGE, NOSTRIL, EYE, LIPS, INNER)


def _identity_points(p: FaceParameters) -> Landmarks:
    """Frontal landmarks of a person at rest, face units."""
    q = neutral_points()
    x, y = q[:, 0], q[:, 1]
    x[17:] *= 1 - p.breadth
    for eye, sign in ((slice(36, 42), -1), (slice(42, 48), 1)):
        middle = q[eye].mean(0)
        offset = (q[eye] - middle) * (1 + p.eye_size * np.array([0.6, 1.0 + p.eye_height]))
        offset[:, 1] *= 1 + p.eye_height
        offset[:, 1] -= p.eye_slant * sign * offset[:, 0]
        q[eye] = middle + offset + (sign * p.eye_spacing, 0)
    arch = np.array([-0.6, 0.5, 1.0, 0.6, -0.3])
    y[17:22] -= p.brow_height + p.brow_arch * arch
    y[22:27] -= p.brow_height + p.brow_arch * arch[::-1]
    for brow, sign in ((slice(17, 22), -1), (slice(22, 27), 1)):
        x[brow] += p.brow_length * (x[brow] - x[brow].mean()) + sign * p.brow_spacing
    y[27:36] = y[27] + (y[27:36] - y[27]) * (1 + p.nose_length)
    x[31:36] *= 1 + p.nose_width
    x[48:] *= 1 + p.mouth_width
    y[48:] += p.mouth_height + 0.5 * p.nose_length * 0.33
    line = np.interp(x[48:], x[60:65], y[60:65])
    thickness = np.where(y[48:] < line, 1 + p.upper_lip, 1 + p.lower_lip)
    y[48:] = line + (y[48:] - line) * thickness
    x[:17] *= 1 + p.jaw * smoothstep(0.35, 0.35, y[:17])
    x[5:12] *= 1 + 0.3 * p.chin * smoothstep(0.7, 0.15, y[5:12])
    y[y > 0] *= 1 + p.length
    return q


def frontal_points(p: FaceParameters) -> Landmarks:
    """Frontal landmarks of a face with its expression, face units."""
    q = _identity_points(p)
    x, y = q[:, 0], q[:, 1]
    side = np.clip(x[48:] / 0.18, -1.2, 1.2)
    smile = p.smile * (1 + p.smirk * np.sign(side)) if p.smile > 0 else np.full(20, p.smile)
    corner, laughing = np.abs(side), min(max(p.smile, 0.0), 1.0)
    x[48:] *= 1 + 0.24 * np.maximum(smile, 0) + 0.25 * np.minimum(smile, 0) - 0.9 * p.mouth_open * (1 - laughing)
    y[48:] += 0.026 * np.maximum(smile, 0) * (0.3 - 1.6 * corner**2) + p.smirk * 0.01 * side
    # Cheeks that are pulled aside take the wings of the nose and the outline with them.
    x[31:36] *= 1 + 0.1 * laughing
    x[:17] *= 1 + 0.035 * laughing * smoothstep(0.3, 0.3, y[:17])
    y[48:] += p.mouth_corner * corner**2
    thickness = 1 - 0.22 * max(p.smile, 0) - 0.25 * min(p.smile, 0)
    line = np.interp(x[48:], np.maximum.accumulate(x[60:65]), y[60:65])
    y[48:] = line + (y[48:] - line) * thickness
    # The lower lip takes the whole opening, the corners follow a part of it, the chin nearly all, less in laughter.
    share = np.zeros(20)
    share[[0, 6, 12, 16]] = 0.3
    share[[1, 5]], share[[2, 3, 4, 13, 14, 15]] = 0.1, -0.05
    share[[7, 11]], share[[8, 9, 10, 17, 18, 19]] = 0.85, 1.0
    y[48:] += share * p.mouth_open
    y[:17] += (0.8 - 0.3 * laughing) * p.mouth_open * smoothstep(0.45, 0.35, y[:17])
    y[17:27] -= p.brow_raise
    inner = np.array([0.0, 0.0, 0.2, 0.6, 1.0])
    y[17:27] += p.frown * np.concatenate([inner, inner[::-1]])
    x[17:27] -= 0.5 * p.frown * np.concatenate([-inner, inner[::-1]])
    for upper, lower, closure in (
        (slice(37, 39), [41, 40], p.closure[0]),
        (slice(43, 45), [47, 46], p.closure[1]),
    ):
        y[upper] += min(closure, 0.97) * (y[lower] - y[upper])
    if p.jitter:
        noise = np.random.default_rng(p.detail_seed).standard_normal((16, 2)) * p.jitter
        for group, part in enumerate(
            (slice(17, 22), slice(22, 27), slice(31, 36), slice(36, 42), slice(42, 48), slice(48, 68))
        ):
            ramp = np.linspace(-1, 1, part.stop - part.start)[:, None]
            q[part] += noise[group] + 0.5 * noise[group + 6] * (ramp if part.stop < 36 else 0)
    return q
