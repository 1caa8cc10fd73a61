"""Images in the orientation that their annotations mean, and a check that it is this one."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from flaxmark.data.entries import FaceEntry
from flaxmark.data.images import FORMATS, read_image
from flaxmark.errors import DataError, ImageError
from flaxmark.faces.markup import Markup
from flaxmark.faces.missing import mean_where, present

ORIENTATION = 0x0112  # the EXIF tag
# EXIF orientation -> the matrix from directions in the stored image to those in the image as viewers show it.
TO_VIEWER = {
    2: ((-1, 0), (0, 1)), 3: ((-1, 0), (0, -1)), 4: ((1, 0), (0, -1)), 5: ((0, 1), (1, 0)),
    6: ((0, -1), (1, 0)), 7: ((0, -1), (-1, 0)), 8: ((0, 1), (-1, 0)),
}  # fmt: skip
SLACK = 0.02  # of the longer side: points of faces at the border are often a little outside
ENOUGH, SIDEWAYS, UPRIGHT = 3, 60.0, 30.0  # turned faces, degrees


class OtherSizeError(ImageError):
    """An image whose size is not the one that its annotation gives, turned or not."""


def read_annotated(root: Path, entry: FaceEntry, max_megapixels: float) -> UInt8[np.ndarray, "height width 3"]:
    """Read the image of a face in the orientation that its points mean.

    Where the annotation gives the image's size, the orientation of that size counts. Raises ImageError as `read_image`
    does, and OtherSizeError where neither has it.
    """
    sizes = []
    for oriented in (entry.oriented, not entry.oriented):
        image = read_image(root / entry.file, max_megapixels, orient=oriented)
        sizes.append((image.shape[1], image.shape[0]))
        if entry.size in (None, sizes[-1]):
            return image
    (width, height), (given_width, given_height) = sizes[0], entry.size or (0, 0)
    raise OtherSizeError(
        f"has {width} x {height} pixels, but {given_width} x {given_height} in its annotation; correct them there, or "
        "name the orientation with --data.orientation",
        file=root / entry.file,
    )


def check_orientation(entries: Iterable[FaceEntry], root: Path, markup: Markup) -> None:
    """Refuse a data set whose points mean the other orientation of its images: DataError names the flag that tells so.

    Only images with an EXIF orientation count, and of those with a size in the annotation only the ones that have it in
    both orientations, as square and upside-down images do. Points outside the image are certain. So are faces of which
    most lie on their side as viewers show them, and would stand upright if their points were those of the stored image;
    the reverse is not, because programs that turn an image may leave the tag.
    """
    outside: dict[bool, list[str]] = {True: [], False: []}
    turned: list[str] = []
    lying: list[str] = []
    oriented = True
    known: dict[str, tuple[int, tuple[int, int]]] = {}
    for entry in entries:
        if entry.file not in known:
            known[entry.file] = _header(root / entry.file)
        orientation, stored_size = known[entry.file]
        if orientation not in TO_VIEWER:
            continue
        sizes = {False: stored_size, True: stored_size[::-1] if orientation >= 5 else stored_size}
        if entry.size is not None and not (entry.size == sizes[False] == sizes[True]):
            continue
        oriented = entry.oriented
        fits = {space: _inside(entry.landmarks_px, size) for space, size in sizes.items()}
        if fits[True] != fits[False]:
            outside[fits[False]].append(entry.file)
        if entry.oriented and orientation != 2:
            turned.append(entry.file)
            if _lies(entry.landmarks_px, np.array(TO_VIEWER[orientation]), markup):
                lying.append(entry.file)
    for_other, for_this = outside[oriented], outside[not oriented]
    other: Literal["stored", "viewer"] = "stored" if oriented else "viewer"
    how = "as it is stored in the file" if oriented else "as viewers show it"
    if len(for_other) > len(for_this):
        reason = f"points of {_some(for_other)} are outside the image, but inside of it {how}"
    elif not for_this and len(turned) >= ENOUGH and len(lying) > 0.8 * len(turned):
        reason = f"faces of {_some(lying)} lie on their side, unless their points mean the image {how}"
    else:
        return
    raise DataError(
        f"{reason}: its EXIF orientation turns it; give --data.orientation {other}", field="data.orientation"
    )


def _some(files: list[str]) -> str:
    more = len(set(files)) - 1
    return files[0] + (f" and {more} other image{'s' * (more > 1)}" if more else "")


def _header(path: Path) -> tuple[int, tuple[int, int]]:
    """EXIF orientation, and width and height of the stored image; orientation 1 where they cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in read_image
            with Image.open(path, formats=FORMATS) as image:
                turns = (
                    1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
                )  # Pillow turns a TIFF itself
                return int(turns), image.size
    except Exception:  # read_image names what is wrong with it
        return 1, (0, 0)


def _inside(points: Float[np.ndarray, "points 2"], size: tuple[int, int]) -> bool:
    """Whether all points that are not missing lie in an image of that width and height, or a little outside."""
    room = SLACK * max(size) + 0.5
    there = points[present(points)]
    return bool(((there >= -room) & (there <= np.array(size) - 1 + room)).all())


def _lies(points: Float[np.ndarray, "points 2"], to_viewer: np.ndarray, markup: Markup) -> bool:
    """Whether a face lies on its side or head, and would stand upright if its points were of the stored image."""
    eyes = points[[index for eye in markup.eyes for index in eye]]
    up = mean_where(eyes, present(eyes)[:, None], axis=0) - mean_where(points, present(points)[:, None], axis=0)
    as_given, if_stored = (float(np.degrees(np.arctan2(abs(x), -y))) for x, y in (up, to_viewer @ up))
    return as_given > SIDEWAYS and if_stored < UPRIGHT
