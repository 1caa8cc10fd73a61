"""Columns of a CSV file of faces: where its header says that the image and the coordinates are."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from flaxmark.errors import DataError

IMAGE_NAMES = ("file", "image", "filename", "imagename", "imagefile", "path", "imagepath", "filepath", "img", "name")
Key = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where a line has the image and the coordinates."""

    image: int = 0
    """Index of the column with the image's name."""
    coordinates: tuple[int, ...] | None = None
    """Indices of the columns x0, y0, x1, y1 ..; None: all columns after the image's, in this order."""

    def of(self, row: Sequence[str]) -> list[str]:
        """The cells x0, y0, x1, y1 .. of a line; those that it lacks are empty."""
        if self.coordinates is None:
            return list(row[self.image + 1 :])
        return [row[column] if column < len(row) else "" for column in self.coordinates]


def read_header(names: Sequence[str], path: Path) -> Columns:
    """The columns that a header names: coordinates as `x0`, `x_0`, `0_x`, `landmark_0_x` or `left_eye_x`, in any order.

    Numbered points are in the order of their numbers, others in that of their columns. A header that does not name
    coordinates leaves them in their order, x0, y0, x1, y1 .. after the image. Raises DataError where it names them and
    they do not make points.
    """
    found: dict[str, dict[Key, int]] = {"x": {}, "y": {}}
    for column, name in enumerate(names):
        if (parsed := _axis_and_point(name)) is not None:
            axis, point = parsed
            if point in found[axis]:
                first = names[found[axis][point]].strip()
                raise DataError(f"line 1: columns {first!r} and {name.strip()!r} are the same coordinate", file=path)
            found[axis][point] = column
    points = list(found["x"])
    if max(len(points), len(found["y"])) < 2:
        return Columns()
    for axis, other in (("x", "y"), ("y", "x")):
        alone = next((column for point, column in found[axis].items() if point not in found[other]), None)
        if alone is not None:
            raise DataError(f"line 1: column {names[alone].strip()!r} has no {other} beside its {axis}", file=path)
    if all(point[-1:] and point[-1].isdigit() for point in points) and len({point[:-1] for point in points}) == 1:
        points.sort(key=lambda point: int(point[-1]))
        numbers = [int(point[-1]) for point in points]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            reason = f"line 1: its points are numbered {numbers[0]} to {numbers[-1]}, but some are not there"
            raise DataError(reason, file=path)
    coordinates = tuple(column for point in points for column in (found["x"][point], found["y"][point]))
    plain = [re.sub("[^a-z]", "", name.lower()) for name in names]
    image = next((plain.index(name) for name in IMAGE_NAMES if name in plain), None)
    if image is None:
        image = next((column for column in range(len(names)) if column not in coordinates), None)
    if image is None:
        raise DataError("line 1: has no column for the image's name", file=path)
    return Columns(image, coordinates)


def _axis_and_point(name: str) -> tuple[str, Key] | None:
    """The axis and the rest of the words of a column's name: `left_eye_x` is `x` of `left`, `eye`."""
    words = tuple(re.findall("[a-z]+|[0-9]+", name.lower()))
    for place in (0, -1):
        if words and words[place] in ("x", "y") and len(words) > 1:
            return words[place], words[1:] if place == 0 else words[:-1]
    return None
