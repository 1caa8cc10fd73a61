"""Where annotators put a landmark, relative to the place of the drawn head that looks most like it.

The drawing paints features around the landmarks of frontal.py. On photographs the same looks have their labels
somewhat elsewhere: a network that has seen drawn faces only puts the outer corner of an eye, for example, where lashes
and the lid's fold end, and annotators put it inside.
"""

import numpy as np

from flaxmark.data.drawn.arrays import Points
from flaxmark.data.drawn.head.frontal import both_sides
from flaxmark.data.drawn.head.shape import Head

# Left half of the face, as in frontal.py: (right, down), per cent of the distance of the outer eye corners.
JAW = ((0.0, 0.0),) * 9
BROW = ((0.0, 0.0),) * 5
BRIDGE = ((0.0, 0.0),) * 4
NOSTRIL = ((0.0, 0.0),) * 3
EYE = ((0.0, 0.0),) * 6
LIPS = ((0.0, 0.0),) * 7
INNER = ((0.0, 0.0),) * 3


def annotated(positions: Points, head: Head) -> Points:
    """Positions `[68, 3]` of labels, from those of the places that look like landmarks, in the frame of the head."""
    offsets = both_sides(JAW, BROW, BRIDGE, NOSTRIL, EYE, LIPS, INNER) / 100
    distance = np.linalg.norm(head.points[45] - head.points[36])
    return positions + distance * np.pad(offsets, ((0, 0), (0, 1)))
