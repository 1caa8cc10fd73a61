"""Drawing of a face: head, surroundings and camera combined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flaxmark.data.drawn import foreground, scene
from flaxmark.data.drawn.arrays import Array, Colours, Floats, Image, Landmarks, Mask, Plane
from flaxmark.data.drawn.camera import photograph
from flaxmark.data.drawn.head.distribution import sample_parameters
from flaxmark.data.drawn.head.parameters import FaceParameters
from flaxmark.data.drawn.head.pose import PIVOT, View
from flaxmark.data.drawn.head.shape import Head
from flaxmark.data.drawn.paint import accessories
from flaxmark.data.drawn.paint.beard import paint_beard, paint_moustache
from flaxmark.data.drawn.paint.canvas import Canvas
from flaxmark.data.drawn.paint.curves import look_up, noise_tile
from flaxmark.data.drawn.paint.features import paint_brow, paint_eye, paint_mouth
from flaxmark.data.drawn.paint.glasses import paint_glasses, shadow_of_glasses
from flaxmark.data.drawn.paint.raster import Fragments, Patch, rasterise, refine, refinement
from flaxmark.data.drawn.paint.shading import cast_shadow, expose, illuminate, sample_map
from flaxmark.data.drawn.paint.skin import paint_complexion, paint_creases, paint_nose, paint_scalp
from flaxmark.data.drawn.visibility import PaintedImage, on_visible_surface, uncovered
from flaxmark.faces.head_pose import rotation

SUPERSAMPLING = 2
"""Rendered pixels along the side of each pixel of the image."""


@dataclass(frozen=True)
class Portrait:
    """A drawn face.

    Attributes:
        image: `[size, size, 3]`, RGB.
        landmarks: In the order of ibug_68, (x, y) in pixels, where pixel centres have integer coordinates.
        visible: `[68]`, whether each landmark is seen: it is in the image, and nothing hides it. A beard
            hides nothing, and neither does a single hair or the rim of glasses.
    """

    image: NDArray[np.uint8]
    landmarks: Landmarks
    visible: Mask


def head_patch(head: Head, view: View) -> Patch:
    """Mesh of the head, denser around the nose; its coordinates are frontal x, y and the angle."""
    around = -np.radians(0.85 * head.p.yaw) + np.linspace(-2.1, 2.1, 61)
    u = np.unique(np.concatenate([around, np.linspace(-0.25, 0.25, 23)]))
    rows = np.linspace(0, 1, (len(head.rows) - 1) // 2 + 1)
    heights = np.linspace(head.points[29, 1], head.points[57, 1], 22)
    rows = np.unique(np.concatenate([rows, head.angles(np.stack([np.zeros(22), heights], -1))[1]]))
    frontal, positions = head.surface(u[None], rows[:, None])
    angle = np.broadcast_to(u[None, :, None], (*frontal.shape[:2], 1))
    return Patch(view.turn(positions), np.concatenate([frontal, angle], -1))


def neck_patch(head: Head, view: View) -> tuple[Patch, Floats]:
    """Mesh of the neck between head and body, and the centre of its middle row in camera coordinates."""
    p = head.p
    positions = accessories.neck(head)
    body = (positions - PIVOT) @ rotation(0.3 * p.yaw, 0.2 * p.pitch, 0.3 * p.roll).T
    t = np.linspace(0, 1, len(positions))[:, None, None]
    turned = view.turn(positions) * (1 - t) + body * t
    return Patch(turned, positions), turned[len(turned) // 2].mean(0)


def surround(head: Head, view: View) -> tuple[list[str], list[Patch], list[Mask | None]]:
    """Names, meshes and masks of ears, hair and hat; a mask selects existing points of the refined mesh."""
    p = head.p
    names = ["ear", "ear"]
    patches: list[Patch] = []
    keeps: list[Mask | None] = []
    for side in (-1, 1):
        positions, coordinates = accessories.ear(head, side)
        patches.append(Patch(view.turn(positions), coordinates))
        keeps.append(None)
    layers = [("hair", p.hair_thickness, p.hair_length)] if p.hairstyle in ("short", "fringe", "long") else []
    if p.hat:
        layers = [(n, min(t, 0.05), e) for n, t, e in layers] + [("hat", 0.075, 0.1)]
    for name, thickness, length in layers:
        positions, coordinates = accessories.shell(
            head, thickness, length if p.hairstyle != "short" or name == "hat" else 0.45
        )
        patch = Patch(view.turn(positions), coordinates)
        rows, columns = refinement(view.project(patch.positions))
        angle = refine(coordinates[:2, :, :1], 1, columns)[0, :, 0]
        height = refine(coordinates[:, :2, 1:], rows, 1)[:, 0, 0]
        edge = accessories.hair_edge(head, angle) if name == "hair" else accessories.hat_edge(head, angle)
        names.append(name)
        patches.append(patch)
        keeps.append(height[:, None] < edge)
    if p.hat == "cap":
        positions, coordinates = accessories.brim(head)
        names.append("hat")
        patches.append(Patch(view.turn(positions), coordinates))
        keeps.append(None)
    return names, patches, keeps


def face_colour(head: Head, view: View, seen: Fragments, rng: np.random.Generator) -> tuple[Colours, Mask]:
    """Linear light from the face's pixels, and a mask of those that belong to the face proper."""
    p = head.p
    canvas = Canvas(head, seen.coordinates, rng)
    for paint in (paint_complexion, paint_creases, paint_nose, paint_scalp, paint_beard):
        paint(canvas)
    for side in (0, 1):
        paint_eye(canvas, side)
        paint_brow(canvas, side)
    paint_mouth(canvas)
    paint_moustache(canvas)
    x, y, u = canvas.x, canvas.y, canvas.u
    lit = sample_map(cast_shadow(head, view), x, y)
    if p.glasses:
        lit = np.where(canvas.front, lit * shadow_of_glasses(head, np.asarray(p.light) @ view.matrix, x, y), lit)
    lit = 1 - (0.45 + 0.5 * p.harsh) * (1 - lit)
    if p.hat or p.hairstyle in ("short", "fringe", "long"):
        edge = accessories.hat_edge(head, u) if p.hat else accessories.hair_edge(head, u)
        lit = lit * (1 - 0.4 * np.exp(-np.clip(y - edge, 0, 1) / (0.15 if p.hat == "cap" else 0.04)))
    if not p.plain:
        bumps = look_up(noise_tile(0.9, 6), 170 * u, 170 * y)
        seen.normals[:, 0] += 0.03 * (p.blotch + p.wrinkle) * bumps
    return illuminate(p, np.clip(canvas.colour, 0.005, 1), seen.normals, canvas.shine, lit), (np.abs(u) < 1.3) & (
        y > -0.3
    )


def part_colour(name: str, head: Head, view: View, seen: Fragments, rng: np.random.Generator) -> Colours:
    """Linear light from the pixels of a part other than the face: "ear", "neck", "hair" or "hat"."""
    p, shine = head.p, 0.0
    lit: Array | float = 1.0
    if name == "ear":
        colour = accessories.paint_ear(head, seen.coordinates)
    elif name == "hair":
        colour, shine = accessories.paint_hair(head, seen.coordinates), 0.15
    elif name == "hat":
        colour = accessories.paint_hat(head, seen.coordinates)
    else:
        colour, lit = accessories.paint_neck(head, seen.coordinates)
    return illuminate(p, colour, seen.normals, shine, lit)


def render_head(
    head: Head, view: View, fine: View, size: int, rng: np.random.Generator
) -> tuple[Image, Plane, Mask, Floats]:
    """Render all meshes.

    Returns the image, its opacity, whether each landmark is on the visible surface of the face, and where the clothes
    begin (x, y, z), in pixels of `view`.

    `fine` is the same camera at the supersampled resolution, `size` the supersampled side in pixels.
    """
    collar, base = neck_patch(head, fine)
    names, patches, keeps = surround(head, fine)
    names, patches, keeps = (
        ["face", "neck", *names],
        [head_patch(head, fine), collar, *patches],
        [None, None, *keeps],
    )
    seen = rasterise(patches, [fine.project(patch.positions) for patch in patches], keeps, size)
    shown = on_visible_surface(fine.places, seen[0], size)
    lights, reference = [], np.zeros((0, 3), np.float32)
    for name, part in zip(names, seen, strict=True):
        if name == "face":
            light, proper = face_colour(head, fine, part, rng)
            reference = light[proper]
        else:
            light = part_colour(name, head, fine, part, rng)
        lights.append(light)
    canvas, cover = np.zeros((size * size, 3), np.float32), np.zeros(size * size, np.float32)
    pixels = np.concatenate([part.pixels for part in seen])
    canvas[pixels], cover[pixels] = expose(head.p, np.concatenate(lights), reference), 1
    return canvas.reshape(size, size, 3), cover.reshape(size, size), shown, view.project(base)


def put_on_glasses(head: Head, fine: View, canvas: Image, cover: Plane, rng: np.random.Generator) -> Plane:
    """Draw glasses onto the canvas and its opacity `cover`, in place, and return their own opacity.

    `fine` is the canvas's camera.
    """
    z = head.lift(head.points[27:28])[0, 2] + 0.03
    level = head.points[36:48, 1].mean()
    corners = fine.project(fine.turn(np.array([[x, level + y, z] for x in (-0.5, 0.5) for y in (-0.2, 0.25)])))[:, :2]
    low = np.clip(np.floor(corners.min(0)).astype(int), 0, len(canvas))
    high = np.clip(np.ceil(corners.max(0)).astype(int), 0, len(canvas))
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    rays = (
        np.stack(
            [
                (x - fine.offset[0]) / fine.scale,
                (y - fine.offset[1]) / fine.scale,
                np.full(x.shape, -fine.distance),
            ],
            -1,
        )
        @ fine.matrix
    )
    eye = np.array([0, 0, fine.distance]) @ fine.matrix
    reach = (z - PIVOT[2] - eye[2]) / rays[..., 2]
    plane = (eye + reach[..., None] * rays + PIVOT)[..., :2].reshape(-1, 2).astype(np.float32)
    colour, share = paint_glasses(head, plane, rng)
    window = canvas[low[1] : high[1], low[0] : high[0]]
    share = share.reshape(x.shape)
    window += share[..., None] * (colour.reshape(window.shape) - window)
    behind = cover[low[1] : high[1], low[0] : high[0]]
    behind += share * (1 - behind)
    opacity = np.zeros_like(cover)
    opacity[low[1] : high[1], low[0] : high[0]] = share
    return opacity


def shrink(image: Array) -> Array:
    """Average boxes of SUPERSAMPLING x SUPERSAMPLING pixels."""
    n = SUPERSAMPLING
    lines = np.add.reduce([image[i::n] for i in range(n)])
    return np.asarray(np.add.reduce([lines[:, i::n] for i in range(n)]) / np.float32(n * n))


def portray(p: FaceParameters, size: int = 160) -> Portrait:
    """Draw the face that the parameters describe, in an image of `size` pixels."""
    rng = np.random.default_rng(p.detail_seed)
    head = Head(p)
    view = View(head, size)
    fine = view.magnified(SUPERSAMPLING)
    canvas, cover, shown, base = render_head(head, view, fine, SUPERSAMPLING * size, rng)
    front = np.zeros((size, size), np.float32)
    if p.glasses:
        front = shrink(put_on_glasses(head, fine, canvas, cover, rng))
    opacity, ahead = shrink(cover)[..., None], shrink(canvas)
    painted = PaintedImage(scene.background(p, size, rng) * (1 - opacity) + ahead, front)
    below = view.landmarks[:, 1].max() + p.collar * view.scale
    collar = np.array([base[0], max(base[1], below) if p.collar >= 0.16 else below])
    scene.clothes(painted, collar, view.scale, p, rng)
    if p.strands:
        foreground.strands(painted, view.landmarks, p, rng)
    if p.occluder:
        foreground.occlude(painted, view.landmarks, p, rng)
    if p.cast:
        foreground.cast_shadow(painted.image, p, rng)
    image = painted.image if p.plain else photograph(painted.image, rng)
    finished = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    foreground.cut_off(finished, painted.cover, view.landmarks, p)
    return Portrait(finished, view.landmarks, shown & uncovered(view.landmarks, painted.cover, view.scale))


def portray_face(seed: int, size: int = 160) -> Portrait:
    """Draw a random face; the same seed and size give the same one. Raises ValueError if the seed is negative."""
    return portray(sample_parameters(np.random.default_rng(seed)), size)


def draw(p: FaceParameters, size: int = 160) -> tuple[NDArray[np.uint8], Landmarks]:
    """Draw the face that the parameters describe; returns what `draw_face` returns."""
    portrait = portray(p, size)
    return portrait.image, portrait.landmarks


def draw_face(seed: int, size: int = 160) -> tuple[NDArray[np.uint8], Landmarks]:
    """Draw a random face.

    Args:
        seed: Any integer from 0; the same seed and size give the same face.
        size: Side of the image in pixels.

    Returns:
        The image, uint8 `[size, size, 3]`, RGB; and its landmarks in the order of ibug_68, float64 `[68, 2]`, (x, y) in
        pixels, where pixel centres have integer coordinates. All are inside the image, also those that hair, hands or
        glasses hide.

    Raises:
        ValueError: The seed is negative.
    """
    return draw(sample_parameters(np.random.default_rng(seed)), size)
