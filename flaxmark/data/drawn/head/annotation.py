"""Where annotators put a landmark, relative to the place of the drawn head that looks most like it.

The drawing paints features around the landmarks of frontal.py. On photographs the same looks have their labels
somewhat elsewhere: a network that has seen drawn faces only puts the outer corner of an eye, for example, where lashes
and the lid's fold end, and annotators put it inside.
"""

import numpy as np

from flaxmark.data.drawn.arrays import Points
from flaxmark.data.drawn.head.frontal import Half, both_sides
from flaxmark.data.drawn.head.shape import Head

# Left half of the face, as in frontal.py: right, down and forward on the head, and what is added to the first two times
# the sine of the angle by which it is turned, to whichever side; per cent of the distance of the outer eye corners.
# What is further forward moves to the side that the head turns to, and down where it is bowed. The last two are for
# what is meant otherwise from the side: the tip of the nose, for example, is where its outline is furthest out. All
# numbers of this file were measured on training faces of 300-W (docs/results/drawn_to_real.md, 2026-11-29).
JAW = (
    (1.4, -3.3, -2.1, -0.3, 4.5),
    (0.5, -2.5, 0.2, -1.0, 2.6),
    (-0.4, -2.0, 1.0, -4.0, 2.7),
    (-0.9, -1.9, 2.6, -4.0, 3.0),
    (-0.4, -2.2, 3.3, -1.9, 2.8),
    (0.2, -2.8, 3.4, 0.8, 3.6),
    (0.8, -3.5, 3.5, 2.8, 4.9),
    (0.6, -3.0, 5.1, 3.2, 3.3),
    (0.0, -1.3, 3.9, 0.0, 1.1),
)
BROW = (
    (1.5, -2.7, -1.0, -1.9, 4.4),
    (1.8, -2.5, 2.1, -3.5, 3.9),
    (1.8, -2.0, 3.0, -2.7, 2.6),
    (1.7, -1.4, 1.9, -1.3, 2.1),
    (2.1, -0.5, 2.6, -0.2, 2.6),
)
BRIDGE = (
    (0.0, 0.6, 2.7, 0.0, 3.4),
    (0.0, 1.2, 3.6, 0.0, 1.0),
    (0.0, 2.1, 3.6, 0.0, -1.6),
    (0.0, 2.4, 0.6, 0.0, -3.9),
)
NOSTRIL = (
    (2.8, 1.9, 0.9, -4.1, 0.7),
    (0.5, 1.7, -1.4, -2.1, 1.4),
    (0.0, 1.7, 5.0, 0.0, 0.9),
)
EYE = (
    (3.6, 0.1, -0.6, -1.3, 2.5),
    (2.8, -0.5, 1.4, -1.7, 1.6),
    (1.7, -0.5, 2.5, -1.0, 0.8),
    (1.1, 0.6, 1.1, -1.1, 0.4),
    (1.2, -0.7, 2.0, -1.0, 0.8),
    (2.3, -1.4, 2.1, -1.2, 1.2),
)
LIPS = (
    (2.5, 1.6, 2.5, -2.6, 1.8),
    (1.9, 1.0, 3.4, -2.5, 0.4),
    (1.0, 0.1, 5.5, 0.3, 0.2),
    (0.0, 0.9, 4.1, 0.0, 0.0),
    (1.9, 0.0, 2.1, -1.7, -0.3),
    (0.7, -1.4, 4.0, 0.0, -0.1),
    (0.0, -1.6, 5.0, 0.0, -0.2),
)
INNER = (
    (2.2, 1.4, -1.9, -1.6, 1.4),
    (1.5, 0.7, 1.9, 0.5, 0.7),
    (0.0, 0.6, 1.5, 0.0, 0.0),
    (1.4, -1.5, 2.9, 0.4, 0.8),
    (0.0, -1.8, 1.1, 0.0, 0.6),
)

EARS = 0.08
"""How much lower the outermost points of the jaw are where the head is bowed: face units times the sine of the pitch.

Where the head looks up, its ears move down in the image. Annotators follow only in part: their outline begins higher on
the head."""

CHIN = 0.06
"""How far the middle of the outline lies beside the chin, on the side that the head turns to: face units times the sine
of the yaw."""


def annotated(positions: Points, head: Head) -> Points:
    """Positions `[68, 3]` of labels, from those of the places that look like landmarks, in the frame of the head."""
    offsets = _both_sides(slice(0, 3))
    offsets[:, :2] += abs(np.sin(np.radians(head.p.yaw))) * _both_sides(slice(3, 5))
    distance = np.linalg.norm(head.points[45] - head.points[36])
    labels = positions + distance * offsets / 100
    # The edges of closed lips meet, they do not cross.
    lips = labels[[[61, 62, 63], [67, 66, 65]], 1:]
    crossed = lips[0, :, :1] > lips[1, :, :1]
    labels[[[61, 62, 63], [67, 66, 65]], 1:] = np.where(crossed, lips.mean(0), lips)
    return labels


def _both_sides(numbers: slice) -> Points:
    """Some of the numbers `[68, ..]` of all landmarks."""
    halves: tuple[Half, ...] = (JAW, BROW, BRIDGE, NOSTRIL, EYE, LIPS, INNER)
    return both_sides(*([row[numbers] for row in half] for half in halves))
