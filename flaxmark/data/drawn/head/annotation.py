"""Where annotators put a landmark, relative to the place of the drawn head that looks most like it.

The drawing paints features around the landmarks of frontal.py. On photographs the same looks have their labels
somewhat elsewhere: a network that has seen drawn faces only puts the outer corner of an eye, for example, where lashes
and the lid's fold end, and annotators put it inside.
"""

import numpy as np

from flaxmark.data.drawn.arrays import Points
from flaxmark.data.drawn.head.frontal import both_sides
from flaxmark.data.drawn.head.shape import Head

# Left half of the face, as in frontal.py: (right, down), per cent of the distance of the outer eye corners. Measured by
# benchmarks/drawn_to_real.py on 908 training faces of 300-W in two rounds: on all of them with a network that had
# learnt an earlier drawing, and on the near-frontal ones with one that had learnt the result of the first
# (docs/results/drawn_to_real.md, 2026-11-29).
JAW = (
    (1.4, -1.1),
    (0.3, -1.0),
    (-0.8, -1.1),
    (-0.9, -1.4),
    (-0.7, -2.0),
    (-0.3, -2.7),
    (-0.3, -2.9),
    (-1.7, -1.0),
    (0.0, 0.5),
)
BROW = ((2.3, -1.2), (1.8, -1.4), (1.2, -1.5), (0.8, -1.4), (0.8, -1.0))
BRIDGE = ((0.0, 0.7), (0.0, 0.9), (0.0, 1.3), (0.0, 1.3))
NOSTRIL = ((0.8, 1.7), (-0.5, 1.4), (0.0, 1.4))
EYE = ((2.9, 0.7), (2.3, -1.4), (1.5, -1.6), (1.3, 0.5), (1.1, -0.6), (1.8, -1.0))
LIPS = ((2.3, 2.6), (1.5, 1.6), (1.1, 0.6), (0.0, 1.3), (1.8, 0.6), (0.8, -0.5), (0.0, -0.7))
INNER = ((2.2, 2.0), (1.5, 1.1), (0.0, 0.8), (1.3, -1.3), (0.0, -1.5))


def annotated(positions: Points, head: Head) -> Points:
    """Positions `[68, 3]` of labels, from those of the places that look like landmarks, in the frame of the head."""
    offsets = both_sides(JAW, BROW, BRIDGE, NOSTRIL, EYE, LIPS, INNER) / 100
    distance = np.linalg.norm(head.points[45] - head.points[36])
    labels = positions + distance * np.pad(offsets, ((0, 0), (0, 1)))
    # The edges of closed lips meet, they do not cross.
    lips = labels[[[61, 62, 63], [67, 66, 65]], 1]
    labels[[[61, 62, 63], [67, 66, 65]], 1] = np.where(lips[0] > lips[1], lips.mean(0), lips)
    return labels
