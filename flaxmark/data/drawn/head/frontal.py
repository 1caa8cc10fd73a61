"""Frontal landmarks: proportions, identity and expression.

In face units the ears are at x = -0.5 and 0.5 and the eyes at y = 0; y points down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flaxmark.data.drawn.arrays import Landmarks
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.paint.curves import smoothstep

Half = Sequence[tuple[float, float]]

# Left half of a neutral frontal face; the right half mirrors it.
JAW = (
    (-0.5, 0.0),
    (-0.49, 0.14),
    (-0.472, 0.27),
    (-0.445, 0.4),
    (-0.398, 0.518),
    (-0.322, 0.618),
    (-0.23, 0.704),
    (-0.12, 0.77),
    (0.0, 0.79),
)
BROW = ((-0.403, -0.089), (-0.342, -0.137), (-0.257, -0.147), (-0.17, -0.136), (-0.086, -0.106))
BRIDGE = ((0.0, -0.013), (0.0, 0.075), (0.0, 0.162), (0.0, 0.251))
NOSTRIL = ((-0.1, 0.305), (-0.052, 0.322), (0.0, 0.338))
EYE = ((-0.303, 0.0), (-0.25, -0.033), (-0.187, -0.031), (-0.133, 0.013), (-0.19, 0.025), (-0.253, 0.025))
LIPS = (
    (-0.177, 0.468),
    (-0.114, 0.438),
    (-0.049, 0.422),
    (0.0, 0.431),
    (-0.117, 0.516),
    (-0.051, 0.538),
    (0.0, 0.543),
)
INNER = ((-0.153, 0.47), (-0.049, 0.464), (0.0, 0.469))


def neutral_points() -> Landmarks:
    """Frontal landmarks of the mean face, face units."""

    def mirrored(half: Half) -> list[tuple[float, float]]:
        return [(-x, y) for x, y in half]

    upper, lower = LIPS[:4], LIPS[4:]
    eye = mirrored(EYE)
    points = [
        *JAW,
        *mirrored(JAW[7::-1]),
        *BROW,
        *mirrored(BROW[::-1]),
        *BRIDGE,
        *NOSTRIL,
        *mirrored(NOSTRIL[1::-1]),
    ]
    points += [*EYE, eye[3], eye[2], eye[1], eye[0], eye[5], eye[4]]
    points += [*upper, *mirrored(upper[2::-1]), *mirrored(lower[:2]), *lower[::-1]]
    points += [*INNER, *mirrored(INNER[1::-1]), *mirrored(INNER[1:2]), *INNER[:0:-1]]
    return np.array(points)


def _identity_points(p: FaceParameters) -> Landmarks:
    """Frontal landmarks of a person at rest, face units."""
    q = neutral_points()
    x, y = q[:, 0], q[:, 1]
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
    corner = np.abs(side)
    x[48:] *= 1 + 0.24 * np.maximum(smile, 0) + 0.25 * np.minimum(smile, 0) - 0.9 * p.mouth_open
    y[48:] += 0.022 * np.maximum(smile, 0) * (0.3 - 1.6 * corner**2) + p.smirk * 0.01 * side
    y[48:] += p.mouth_corner * corner**2
    thickness = 1 - 0.22 * max(p.smile, 0) - 0.25 * min(p.smile, 0)
    line = np.interp(x[48:], np.maximum.accumulate(x[60:65]), y[60:65])
    y[48:] = line + (y[48:] - line) * thickness
    # The lower lip takes the whole opening, the corners follow half of it, the chin nearly all.
    share = np.zeros(20)
    share[[0, 6, 12, 16]] = 0.45
    share[[1, 5]], share[[2, 3, 4, 13, 14, 15]] = 0.1, -0.05
    share[[7, 11]], share[[8, 9, 10, 17, 18, 19]] = 0.85, 1.0
    y[48:] += share * p.mouth_open
    y[:17] += 0.8 * p.mouth_open * smoothstep(0.45, 0.35, y[:17])
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
