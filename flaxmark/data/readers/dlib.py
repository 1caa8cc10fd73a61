"""300-W as dlib packages it: the official folders, all annotations in two XML files."""

import os
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree
import numpy as np
from jaxtyping import Float

from flaxmark.data.data_sets import DataSet, register
from flaxmark.data.entries import (
    LEAVES_FOLDER,
    MALFORMED,
    MISSING,
    NOT_A_FACE,
    UNKNOWN_SUBSET,
    AnnotationError,
    FaceEntry,
    Listing,
    Problem,
    check_landmarks,
    divide,
    inside,
)
from flaxmark.data.readers.ibug_300w import MIRRORED, SUBSETS_300W, TERMS, photograph_300w
from flaxmark.errors import DataError
from flaxmark.faces.markup import IBUG_68
from flaxmark.system.reading import reason_for_text

XML_NAMES = ("labels_ibug_300W_train.xml", "labels_ibug_300W_test.xml")
MAX_BYTES = 128_000_000  # the largest has 20 MB


def read_dlib(root: Path) -> Listing:
    """List 300-W in dlib's packaging, from one or both of its XML files, without the mirrored twins.

    The XML file of a face does not decide its split: most official test faces are in the training file. Raises
    DataError where there is no such XML file, or it cannot be parsed.
    """
    paths = [root / name for name in XML_NAMES if (root / name).is_file()]
    if not paths:
        raise DataError(f"has neither {XML_NAMES[0]} nor {XML_NAMES[1]}", field="data.dir", value=root)
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    mirrored = 0
    for path in paths:
        for image in _parse(path).iter("image"):
            name = image.get("file") or ""
            if PurePosixPath(name).stem.endswith("_mirror"):
                mirrored += 1
                continue
            good, bad = divide(_read_image(root, path, name, image))
            entries += good
            problems += bad
    folders = [PurePosixPath(e.file).parent.as_posix() for e in entries]
    found: dict[str, tuple[int, int | None]] = {
        folder: (folders.count(folder), subset.expected) for folder, subset in SUBSETS_300W.items()
    }
    found[MIRRORED] = (mirrored, None)
    return Listing(sorted(entries, key=lambda e: e.file), problems, found)


def _parse(path: Path) -> Element:
    """Parse an XML file without entities or references to other files."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"above {MAX_BYTES // 10**6} MB, not dlib's list of faces", file=path)
    try:
        return defusedxml.ElementTree.parse(path, forbid_dtd=True).getroot()
    except ParseError as error:
        raise DataError(reason_for_text(path, f"not XML: {error}"), file=path) from error
    except defusedxml.DefusedXmlException as error:
        reason = f"refused because it defines entities: {type(error).__name__}"
        raise DataError(reason_for_text(path, reason), file=path) from error
    except (ValueError, LookupError) as error:  # an encoding that the parser does not know
        raise DataError(f"not XML that can be read: {error}", file=path) from error


def _read_image(root: Path, xml: Path, name: str, image: Element) -> list[FaceEntry | Problem]:
    """The faces of one `<image>`."""
    file = inside(root, name)
    if file is None:
        return [Problem(name, LEAVES_FOLDER, f"{xml.name} names a file outside the data set's folder")]
    subset = SUBSETS_300W.get(PurePosixPath(file).parent.as_posix())
    if subset is None:
        return [Problem(file, UNKNOWN_SUBSET, f"named in {xml.name}")]
    if not os.path.isfile(root / file):  # False for names that cannot be
        return [Problem(file, MISSING, f"named in {xml.name}")]
    faces: list[FaceEntry | Problem] = []
    where = f"{xml.name}: {file}"
    for element in _face_boxes(image):
        if element.get("ignore") in ("1", "true"):  # which imglab writes for boxes that training must not use
            faces.append(Problem(file, NOT_A_FACE, f"{where}: box with ignore='1'", known=True))
            continue
        try:
            landmarks_px, box = _read_landmarks(element, where), _read_box(element, where)
        except AnnotationError as error:
            faces.append(Problem(file, error.kind, str(error)))
        else:
            faces.append(FaceEntry(file, landmarks_px, box, subset.name, photograph_300w(file), subset.split))
    return faces or [Problem(file, MALFORMED, f"{xml.name}: no <box>")]


def _face_boxes(image: Element) -> list[Element]:
    """The boxes of an image, also those inside others; only boxes with parts count where one is inside another."""
    boxes = list(image.iter("box"))
    outer = {box for box in boxes if box.find("box") is not None}
    related = outer | {child for box in outer for child in box.findall("box")}
    return [box for box in boxes if box.find("part") is not None or box not in related]


def _read_landmarks(box: Element, where: str) -> Float[np.ndarray, "68 2"]:
    """The parts `00` to `67` of a box, pixels that start at 0."""
    try:
        attributes = [part.attrib for part in box.findall("part")]
        parts = {int(part["name"]): (float(part["x"]), float(part["y"])) for part in attributes}
    except (KeyError, ValueError) as error:
        raise AnnotationError("a <part> without a number as name, x or y", MALFORMED, file=where) from error
    points = np.array([parts[i] for i in sorted(parts)], np.float64).reshape(-1, 2)
    check_landmarks(points, where, IBUG_68.num_points)
    if sorted(parts) != list(range(68)):
        raise AnnotationError("parts are not named 00 to 67", MALFORMED, file=where)
    return points


def _read_box(box: Element, where: str) -> Float[np.ndarray, "4"]:
    """The rectangle of a box: left, top, right, bottom (centres of its outermost pixels)."""
    try:
        left, top, width, height = (float(box.attrib[key]) for key in ("left", "top", "width", "height"))
    except (KeyError, ValueError) as error:
        raise AnnotationError("a <box> without left, top, width or height", MALFORMED, file=where) from error
    edges = np.array([left, top, left + width - 1, top + height - 1])
    if not np.isfinite(edges).all() or min(width, height) < 2:
        raise AnnotationError("a <box> without extent", MALFORMED, file=where)
    return edges


register(
    DataSet(
        "dlib",
        title="300-W as dlib packages it",
        viewer_space=False,
        read=lambda config, root: read_dlib(root),
        terms=TERMS,
        num_points=IBUG_68.num_points,
        builder="ibug_300w/dlib",
    )
)
