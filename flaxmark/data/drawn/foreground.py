"""Objects in front of the face: shadows, hair, hands and patches; and the black border of a cut-off image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flaxmark.data.drawn.arrays import Array, Image, Landmarks, Plane
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.paint.curves import TILE, noise_tile, smoothstep
from flaxmark.data.drawn.scene import tile_window
from flaxmark.data.drawn.visibility import PaintedImage


def cast_shadow(image: Image, p: FaceParameters, rng: np.random.Generator) -> None:
    """Shade one side of the image or dapple it, in place, as walls, window frames and leaves do."""
    size = len(image)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - np.float32(0.5)
    soft = np.float64(rng.choice([0.01, 0.05, 0.3]))
    if rng.random() < 0.6:
        angle = rng.uniform(0, 2 * np.pi)
        field = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.25, 0.25)
    else:
        field = 0.3 * tile_window(noise_tile(2.0, 13), size, rng.uniform(0.5, 1.2), rng.integers(0, TILE, 2))
    shade = 1 - np.float32(p.cast) * smoothstep(0, soft, field)
    image *= np.sqrt(shade)[..., None]  # the display scale is the square root of light


def strands(painted: PaintedImage, points: Landmarks, p: FaceParameters, rng: np.random.Generator) -> None:
    """Draw `p.strands` locks of hair across the face, in place; landmarks in pixels."""
    size = len(painted.image)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    left, right, top, bottom = points[0, 0], points[16, 0], points[17:27, 1].min(), points[8, 1]
    extent = bottom - top
    root = rng.uniform(0.2, 0.8)
    side = rng.choice([-1, 1])
    grain = 1 + 0.2 * tile_window(noise_tile(0.7, 8), size, 2.0, rng.integers(0, TILE, 2))
    for _ in range(p.strands):
        begin = left + (right - left) * (root + 0.15 * rng.standard_normal())
        drop = (y - top) / np.float32(extent) + 0.55
        end, sweep, bow = rng.uniform(0.5, 1.5), side * rng.uniform(0.0, 0.7), rng.uniform(-0.4, 0.4)
        course = begin + extent * (sweep * drop + bow * drop**2)
        width = extent * rng.choice([0.008, 0.02, 0.05, 0.1]) * np.sqrt(np.clip(1 - drop / end, 0, 1))
        mask = smoothstep(0, 1.5, width - np.abs(x - course) + 0.5) * (drop > -0.2) * (width > 0)
        colour = np.array(p.hair, np.float32) * np.float32(rng.uniform(0.7, 1.2))
        painted.paint(rng.uniform(0.6, 1.0) * mask, colour * grain[..., None])


def occlude(painted: PaintedImage, points: Landmarks, p: FaceParameters, rng: np.random.Generator) -> None:
    """Cover part of the face with fingers, a fist or a patch (`p.occluder`), in place; landmarks in pixels."""
    size = len(painted.image)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    at = rng.integers(2, 15) if p.occluder == "fist" else rng.integers(0, 17)
    centre, extent = points[at], float(np.ptp(points, axis=0).max())
    if p.occluder == "fist":
        centre = centre + rng.uniform(0, 0.6) * (points[57] - centre)
    angle = rng.uniform(-0.8, 0.8) + (0 if centre[1] > points[30, 1] else np.pi)
    a = (np.cos(angle) * (x - centre[0]) + np.sin(angle) * (y - centre[1])) / extent
    b = (np.cos(angle) * (y - centre[1]) - np.sin(angle) * (x - centre[0])) / extent
    skin = np.array(p.skin, np.float32) * np.float32(rng.uniform(0.75, 1.05))
    if p.occluder == "patch":
        wide, tall = rng.uniform(0.06, 0.3, 2)
        mask = smoothstep(0, 0.02, 1 - (np.abs(a / wide) ** 4 + np.abs((b - tall) / tall) ** 4) ** 0.25)
        texture = 1 + 0.2 * tile_window(noise_tile(1.2, 4), size, 1.0, rng.integers(0, TILE, 2))
        painted.paint(mask, rng.uniform(0, 1, 3) * texture[..., None])
    elif p.occluder == "fist":
        _fist(painted, a, b, skin, rng)
    else:
        _fingers(painted, a, b, skin, rng)


def _fist(painted: PaintedImage, a: Plane, b: Plane, skin: Array, rng: np.random.Generator) -> None:
    """Paint a closed hand and its arm, in place.

    `a` runs across the arm and `b` along it, both from the hand's centre, in extents of the face.
    """
    wide, tall = rng.uniform(0.11, 0.2), rng.uniform(0.13, 0.24)
    r = (np.abs(a / wide) ** 3 + np.abs(b / tall) ** 3) ** np.float32(1 / 3)
    along = rng.uniform(0, np.pi / 2)
    knuckles = np.sin(rng.uniform(30, 50) * (np.cos(along) * a + np.sin(along) * b))
    shade = (0.65 + 0.35 * np.sqrt(np.clip(1 - r * r, 0, 1))) * (1 - 0.22 * smoothstep(0.6, 0.4, knuckles))
    arm = smoothstep(0, 0.03, 0.75 * wide - np.abs(a)) * smoothstep(0, 0.02, b)
    sleeve = skin if rng.random() < 0.5 else rng.uniform(0, 1, 3).astype(np.float32)
    cloth = np.where((b > tall + rng.uniform(0, 0.2))[..., None], sleeve, skin)
    rounded = 0.6 + 0.4 * np.sqrt(np.clip(1 - np.square(a / (0.75 * wide)), 0, 1))
    painted.paint(arm, cloth * rounded[..., None])
    painted.paint(smoothstep(0, 0.08, 1 - r), skin * shade[..., None])


def _fingers(painted: PaintedImage, a: Plane, b: Plane, skin: Array, rng: np.random.Generator) -> None:
    """Paint the fingers of a hand that reaches into the face, in place.

    `a` runs across the fingers and `b` along them, about 0 at their tips, in extents of the face.
    """
    wide = rng.uniform(0.045, 0.075)
    for finger in rng.permutation(4):
        offset = a - (finger - 1.5) * 2.05 * wide - 0.1 * (finger - 1.5) * b
        tip = 0.04 * abs(finger - 1.3) + rng.uniform(0, 0.03) - 0.05
        r = np.hypot(offset, np.minimum(b - tip, 0)) / wide
        shade = np.sqrt(np.clip(1 - 0.8 * r * r, 0.1, 1)) * (1 - 0.15 * np.exp(-(((b - tip - 0.14) / 0.015) ** 2)))
        reach = smoothstep(0, 0.02, 0.5 - b)
        painted.paint(smoothstep(0, 0.08, 1 - r) * reach, skin * shade[..., None])


def cut_off(image: NDArray[np.uint8], cover: Plane, points: Landmarks, p: FaceParameters) -> None:
    """Blacken and cover everything beyond `p.margins` around the landmarks (pixels), in place.

    This is what the crop of a face at the border of a photograph looks like.
    """
    extent = float(np.ptp(points, axis=0).max())
    left, top = np.maximum(np.floor(points.min(0) - extent * np.array(p.margins[:2])), 0).astype(int)
    right, bottom = np.ceil(points.max(0) + extent * np.array(p.margins[2:])).astype(int)
    for plane, value in ((image, 0), (cover, 1)):
        plane[:, :left] = plane[:top] = plane[:, max(right, 0) :] = plane[max(bottom, 0) :] = value
