"""Images with a .pts file beside them."""

from pathlib import Path, PurePosixPath

import numpy as np

from flaxmark.data.entries import (
    EMPTY,
    LEAVES_FOLDER,
    MALFORMED,
    NO_ANNOTATION,
    POINT_COUNT,
    AnnotationError,
    FaceEntry,
    Problem,
    check_landmarks,
    inside,
)

MAX_BYTES = 1_000_000  # 68 points take 2 kB


def read_face(root: Path, file: str, subset: str, split: str, photograph: str, num_points: int) -> FaceEntry | Problem:
    """Read the annotation beside a image.

    Args:
        root: The data set's folder.
        file: The image, relative to it.
        subset: Passed on.
        split: Passed on.
        photograph: Passed on.
        num_points: How many points it must have.

    Returns:
        The face, or why there is none.
    """
    annotation = PurePosixPath(file).with_suffix(".pts").as_posix()
    for name in (file, annotation):
        if inside(root, name) is None:
            return Problem(name, LEAVES_FOLDER, "it points out of the data set's folder")
    if not (root / annotation).is_file():
        return Problem(file, NO_ANNOTATION, f"no {annotation}")
    try:
        landmarks_px = read_pts(root / annotation, num_points)
    except AnnotationError as error:
        return Problem(file, error.reason, str(error))
    return FaceEntry(file, landmarks_px, None, subset, photograph, split)


def read_pts(path: str | Path, num_points: int) -> np.ndarray:
    """Read the points of a face.

    Copies in circulation have a header and braces or neither, any blanks and any line ends: the points are
    what stands between the braces, or every line that is no header.

    Args:
        path: A .pts file, whose coordinates start at 1.
        num_points: How many there must be.

    Returns:
        float64 `[num_points, 2]`, pixels, starting at 0.

    Raises:
        AnnotationError: Not as many finite points; names the file and the line.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}", MALFORMED) from error
    if len(content) > MAX_BYTES:
        raise AnnotationError(f"{path}: above {MAX_BYTES} bytes, not a .pts file", MALFORMED)
    text = content.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise AnnotationError(f"{path}: empty", EMPTY)
    lines = _point_lines(text)
    if not lines:
        raise AnnotationError(f"{path}: holds no points", EMPTY)
    if len(lines) != num_points:
        number = lines[min(len(lines), num_points + 1) - 1][0]
        raise AnnotationError(f"{path}:{number}: {len(lines)} points instead of {num_points}", POINT_COUNT)
    points = [_parse(path, number, line) for number, line in lines]
    return check_landmarks(np.array(points, np.float64) - 1.0, str(path), num_points)


def _point_lines(text: str) -> list[tuple[int, str]]:
    """Lines that hold a point, with their numbers starting at 1."""
    kept, opened = [], "{" not in text
    for number, line in enumerate(text.splitlines(), 1):
        if "{" in line:
            opened, line = True, line.split("{", 1)[1]
        line, closed, _ = line.partition("}")
        line = line.strip()
        if opened and line and not line.lower().startswith(("version", "n_points")):
            kept.append((number, line))
        if closed:
            break
    return kept


def _parse(path: Path, number: int, line: str) -> tuple[float, float]:
    """The two numbers of a line."""
    try:
        x, y = (float(word) for word in line.split())
    except ValueError:
        shown = line if len(line) <= 40 else line[:40] + ".."
        raise AnnotationError(f"{path}:{number}: {shown!r} is not two numbers", MALFORMED) from None
    return x, y
