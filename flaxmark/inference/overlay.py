"""Drawing faces onto images and video frames."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from flaxmark.data.images import ImageSource, read_image
from flaxmark.errors import ConfigError
from flaxmark.faces.head_pose import rotation
from flaxmark.faces.missing import present
from flaxmark.inference.face import Face, hidden_points
from flaxmark.inference.outlines import Line, part_lines

# Hues of Okabe and Ito, distinct for colour-blind readers, light enough for skin and for dark hair. Parts with other
# names take them in this order.
COLOURS = {"jaw": "#56B4E9", "eyes": "#F0E442", "nose": "#E88FC0", "brows": "#FFB000", "mouth": "#2FD3A2"}
AXES = ("#FF5C5C", "#5CE65C", "#5C8CFF")
AXIS = 0.6  # length of an axis relative to the face
FRAME, INK, SHADOW = "#FFFFFF", "#000000", 0.55
SCREEN = 1000  # pixels: larger images are looked at shrunk to about this size, and must be readable then
SMALL, LARGE = 9, 14  # height of letters on the screen, pixels
TINY = 40  # pixels: the lines of smaller faces have no room for a dark edge
FINE = 4  # lines are drawn so many times as large, then shrunk
HOLLOW = 0.6  # diameter of the dark middle of a hidden point's dot relative to the dot
MASK = 25_000  # pixels: lines with a larger bounding box are drawn in pieces

Pixels = UInt8[np.ndarray, "height width 3"]


def draw(
    image: ImageSource,
    faces: Face | Iterable[Face],
    *,
    labels: Sequence[str] | None = None,
    sigma: bool = False,
    pose: bool = False,
) -> Pixels:
    """Draw faces onto a copy of an image: their boxes, and their parts as smooth lines through the points.

    Where points are drawn as dots, those that are more likely hidden than seen (`Face.visible` below 0.5) are rings.

    Example:
        faces = flaxmark.predict("photo.jpg")
        PIL.Image.fromarray(flaxmark.draw("photo.jpg", faces)).save("drawn.png")

    Args:
        image: As for `predict`: path, encoded bytes, PIL image or array.
        faces: The faces, in pixels of the upright image as `predict` returns them. Missing points (NaN) are left out,
            and lines end there. A mark-up without `outlines` gives points only; a box of NaN is that of the points.
        labels: Text beside the box of each face; `()` writes nothing. None writes their numbers, from 1, and scores;
            the score is left out where the face is small, and the number where it is the only one.
        sigma: Draw a circle of the radius `Face.sigma` around each point.
        pose: Draw the axes of the head where its pose is known: red to its left, green down, and blue forward.

    Returns:
        uint8 `[height, width, 3]`, RGB: the upright image with the faces. The input is not changed.

    Raises:
        ImageError: The image cannot be read.
        ConfigError: `faces` is something else, or the labels are not as many (`field` names the argument).
    """
    faces = [_placed(face) for face in (faces if isinstance(faces, Iterable) else [faces])]
    if labels and len(labels) != len(faces):
        raise ConfigError(f"{len(labels)} for {len(faces)} faces; give one for each", field="labels")
    canvas = read_image(image, math.inf).copy()
    zoom = max(1.0, max(canvas.shape) / SCREEN)
    for face in faces:
        _draw_face(canvas, face, zoom, sigma, pose)
    _write_labels(canvas, faces, labels, zoom)  # on top of everything
    return canvas


def _placed(face: Face) -> Face:
    """A face whose infinite points are missing, and whose box, if it is not known, is that of its points."""
    if not isinstance(face, Face):
        raise ConfigError("must be faces, as predict returns them", field="faces", value=type(face).__name__)
    landmarks, box = np.where(np.isfinite(face.landmarks), face.landmarks, np.nan), np.asarray(face.box, np.float64)
    if not np.isfinite(box).all():
        points = landmarks[present(landmarks)]
        box = np.concatenate([points.min(axis=0), points.max(axis=0)]) if len(points) else np.zeros(4)
    return dataclasses.replace(face, landmarks=landmarks, box=box)


def _draw_face(canvas: Pixels, face: Face, zoom: float, sigma: bool, pose: bool) -> None:
    """Draw the box and the points of a face; the image around it is not touched, which takes time in large ones."""
    landmarks, box = face.landmarks, face.box.round()
    there = present(landmarks)
    size = float(np.ptp(landmarks[there], axis=0).max()) if there.any() else 0.0
    axes = head_axes(face, AXIS * size) if pose else []
    shown = np.concatenate([landmarks[there], box.reshape(2, 2), *axes])
    # Visible on a screen, but never so thick that they hide the face.
    thin = 1.2 * zoom
    width = min(max(0.008 * size, thin), max(0.75, 0.016 * size))
    frame = max(1, round(min(thin, 0.06 * (box[2] - box[0]))))  # whole pixels: sharp
    radii = face.sigma[there] if sigma and face.sigma is not None else np.zeros(0)
    margin = 3 * width + frame + radii.max(initial=0)
    if (window := _window(shown, margin, canvas.shape[1::-1])) is None:
        return
    left, top, right, bottom = window
    region = Image.fromarray(canvas[top:bottom, left:right])
    _draw_box(region, box - np.tile([left, top], 2), frame)
    moved = dataclasses.replace(face, landmarks=landmarks - (left, top))
    _draw_points(region, moved, width, size > TINY, width > thin, radii)
    for axis, colour in zip(axes, AXES, strict=False):
        _paint(region, [axis - (left, top)], 3 * width, INK, SHADOW)
        _paint(region, [axis - (left, top)], 1.8 * width, colour)
    canvas[top:bottom, left:right] = np.asarray(region)


def head_axes(face: Face, length: float) -> list[Line]:
    """Lines from the middle of a face along the axes of its head, of a length in pixels: left, down, forward."""
    if (pose := face.pose) is None:
        return []
    middle = face.landmarks[present(face.landmarks)].mean(axis=0)
    return [np.stack([middle, middle + length * axis]) for axis in rotation(*pose)[:2].T]


def _draw_box(image: Image.Image, box: Float[np.ndarray, " 4"], width: int) -> None:
    """Draw a bounding box with lines of whole pixels, which are sharp."""
    left, top, right, bottom = box
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    sides = [corners[start : start + 2] + (width - 1) / 2 % 1 for start in range(4)]
    _paint(image, sides, width + 2, INK, 0.25)
    _paint(image, sides, width, FRAME)


def _draw_points(
    image: Image.Image, face: Face, width: float, edges: bool, dotted: bool, radii: Float[np.ndarray, " present"]
) -> None:
    """Draw parts as lines with or without dark edges, circles of radii around the points, and dots on the lines.

    Unless `dotted`, there are dots only where they are far from each other.
    """
    there = present(face.landmarks)
    points, hidden = face.landmarks[there], hidden_points(face)[there]
    if not len(points):
        return
    lines = part_lines(face.landmarks, face.markup) if face.markup else {}
    circles = [_circle(point, radius) for point, radius in zip(points, radii, strict=False)]
    _paint(image, circles, 0.7 * width, FRAME, 0.8)
    for strokes in lines.values() if edges else ():
        _paint(image, strokes, 2.2 * width, INK, SHADOW)
    for number, (part, strokes) in enumerate(lines.items()):
        _paint(image, strokes, width, COLOURS.get(part) or list(COLOURS.values())[number % len(COLOURS)])
    if not lines:
        _paint(image, list(points[:, None]), 4 * width, INK, SHADOW)
        _draw_dots(image, points, hidden, 2.8 * width, COLOURS["jaw"])
    elif (spacing := _spacing(points)) > (4 if dotted else 10) * width:
        _draw_dots(image, points, hidden, min(max(1.8 * width, 0.25 * spacing), 3 * width), FRAME)


def _draw_dots(image: Image.Image, points: Line, hidden: Bool[np.ndarray, " n"], width: float, colour: str) -> None:
    """Draw points as dots of a diameter; the middle of hidden ones is dark, which is seen on skin and on dark hair."""
    _paint(image, list(points[:, None]), width, colour)
    _paint(image, list(points[hidden, None]), HOLLOW * width, INK)


def _paint(image: Image.Image, strokes: list[Line], width: float, colour: str, opacity: float = 1.0) -> None:
    """Draw antialiased lines of a width in pixels; a single point is a dot of that diameter."""
    if not strokes or (window := _window(points := np.concatenate(strokes), width, image.size)) is None:
        return
    fewest = 2 if width**2 > MASK else 1  # thick lines are not cut
    if np.ptp(points, axis=0).prod() > MASK and len(points) > fewest:  # in two halves, with less around them
        points = np.insert(points, 1, points.mean(axis=0), axis=0) if len(points) == 2 else points
        half = (len(strokes) if len(strokes) > 1 else len(points)) // 2
        halves = (strokes[:half], strokes[half:]) if len(strokes) > 1 else ([points[: half + 1]], [points[half:]])
        for part in halves:
            _paint(image, part, width, colour, opacity)
        return
    left, top, right, bottom = window
    mask = Image.new("L", ((right - left) * FINE, (bottom - top) * FINE))
    pen, radius, fill = ImageDraw.Draw(mask), width * FINE / 2, round(255 * opacity)
    for stroke in strokes:
        places = ((stroke - (left, top) + 0.5) * FINE - 0.5).tolist()
        if len(places) > 1:
            pen.line([tuple(place) for place in places], fill=fill, width=max(1, round(2 * radius)))
        for x, y in (places[0], places[-1])[: len(places)]:  # ends are round
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    image.paste(colour, (left, top), mask.reduce(FINE))


def _window(points: Line, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the pixels around points in an image of a size; the last two are exclusive."""
    x0, y0 = (points.min(axis=0) - margin).tolist()
    x1, y1 = (points.max(axis=0) + margin + 2).tolist()
    left, top, right, bottom = int(max(0, x0)), int(max(0, y0)), int(min(size[0], x1)), int(min(size[1], y1))
    return (left, top, right, bottom) if right > left and bottom > top else None


def _circle(centre: Float[np.ndarray, " 2"], radius: float) -> Line:
    angles = np.linspace(0, 2 * np.pi, 49)
    return centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _spacing(points: Line) -> float:
    """Distance of a point to the nearest other one, in the median."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.diag(np.full(len(points), np.inf))
    return float(np.median(distances.min(axis=1)))


def _write_labels(canvas: Pixels, faces: Sequence[Face], labels: Sequence[str] | None, zoom: float) -> None:
    """Write labels on tags beside the boxes, where they cover the least of other boxes and tags."""
    taken = [face.box.round() for face in faces]
    size = np.array(canvas.shape[1::-1])
    for number, face in enumerate(faces if labels is None or labels else ()):
        left, top, right, bottom = taken[number]
        letters = round(min(max(0.12 * (bottom - top), SMALL * zoom), LARGE * zoom))
        texts = _texts(face, number, len(faces)) if labels is None else [labels[number]]
        tags = [_tag(text, letters) for text in texts if text]
        if not tags:
            continue
        # The first one that is not much wider than the face.
        tag = next((tag for tag in tags if tag.shape[1] < 1.3 * (right - left)), tags[-1])
        high, wide, _ = tag.shape
        corners = np.array([(left, top - high), (left, bottom + 1), (right + 1, top), (left - wide, top)])
        corners = np.clip(corners.round(), 0, np.maximum(0, size - (wide, high)))
        places = np.concatenate([corners, corners + np.array([wide, high])], axis=1)
        place = min(places, key=lambda place: _covered(place, np.array(taken)))  # of equal ones the first: above
        taken.append(place)
        x, y = place[:2].astype(int)
        canvas[y : y + high, x : x + wide] = tag[: size[1] - y, : size[0] - x]


@functools.lru_cache(maxsize=64)
def _tag(text: str, letters: int) -> Pixels:
    """Text of a height in pixels on a small plate."""
    font = ImageFont.load_default(letters)
    wide, high = round(font.getlength(text) + 0.6 * letters), round(1.3 * letters)
    tag = Image.new("RGB", (wide, high), FRAME)
    ImageDraw.Draw(tag).text((wide / 2, high / 2), text, fill=INK, font=font, anchor="mm")
    return np.asarray(tag)


def _texts(face: Face, number: int, count: int) -> list[str]:
    """A label with and without the score."""
    own = str(number + 1) if count > 1 else ""
    score = "" if face.score is None else f"{face.score:.2f}"
    return [f"{own}  {score}".strip(), own]


def _covered(tag: Float[np.ndarray, " 4"], boxes: Float[np.ndarray, "n 4"]) -> float:
    """Area of a rectangle that lies in others, in pixels."""
    sides = np.minimum(tag[2:], boxes[:, 2:]) - np.maximum(tag[:2], boxes[:, :2])
    return float(np.maximum(sides, 0).prod(axis=1).sum())
