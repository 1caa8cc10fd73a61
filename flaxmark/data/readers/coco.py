"""Faces in COCO keypoints files: `images`, and `annotations` with x, y and visibility of each point."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

from flaxmark.data.data_sets import DataSet, register
from flaxmark.data.entries import (
    MALFORMED,
    NOT_A_FACE,
    POINT_COUNT,
    AnnotationError,
    FaceEntry,
    Listing,
    Problem,
    check_landmarks,
    check_one_image,
    divide,
    find_image,
    wrong_count,
)
from flaxmark.data.readers.lists import check_size, find_list
from flaxmark.data.readers.missing_marks import mark_missing
from flaxmark.errors import DataError
from flaxmark.faces.missing import present
from flaxmark.system.reading import reason_for_text

MAX_BYTES = 250_000_000  # in memory it takes up to 25 times as much; COCO's own largest has 238 MB
NO_FACES = "JSON without COCO's images and annotations"


@dataclasses.dataclass(frozen=True)
class _Keypoints:
    """Which points of an annotation are read."""

    num_points: int
    categories: frozenset[Any] | None
    """Identifiers of the categories with that many points; None: annotations of any category."""
    needs_box: bool
    """Whether a face without a bounding box is left out."""


def read_coco_folder(
    root: Path,
    num_points: int,
    train_list: str | None,
    validation_list: str | None,
    test_list: str | None,
    needs_box: bool = False,
) -> Listing:
    """List the faces of the COCO keypoints files of a folder, or of the files that the config's lists name.

    Images are looked for in the folder, in its `images/`, and beside the file. Without a list, all JSON files of the
    folder and of its `annotations/` are read: those with `val` in their names are for validation, with `test` for test.
    A point with v = 0 is missing, one with v = 1 is hidden, and with v = 2 it is seen; a file in which v is the same
    for all labelled points does not tell. Of COCO-WholeBody, `face_kpts` and `face_box` are read where the landmark
    scheme has 68 points. Crowds, annotations of categories with other points, and faces marked as not valid are skipped
    and counted. With `needs_box`, faces without a bounding box are left out. `found` counts each file. Raises DataError
    where there is no such file, or a named one cannot be read.
    """
    named = {"validation": validation_list, "test": test_list, "train": train_list}
    files = {
        find_list(name, root, f"data.{split}_list", MAX_BYTES): split
        for split, name in named.items()
        if name is not None
    }
    given = bool(files)
    if not given:
        paths = sorted([*root.glob("*.json"), *root.glob("annotations/*.json")])
        files = {path: _split_of(path.stem.lower()) for path in paths}
    if not files:
        raise DataError("has no JSON file of COCO keypoints, nor has its annotations/", field="data.dir", value=root)
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    found: dict[str, tuple[int, int | None]] = {}
    for path, split in files.items():
        content = _read_json(path)
        if not _is_coco(content):
            if given:
                raise DataError("not COCO: it must have the lists images and annotations", file=path)
            problems.append(Problem(path.name, NO_FACES, "left aside", known=True))
            continue
        wanted = _Keypoints(num_points, _categories(content, num_points), needs_box)
        good, bad = divide(_read_faces(content, path, root, split, wanted))
        good = _without_meaningless_visibility(good)
        entries += good
        problems += bad + _skipped_notes(content, path, wanted)
        found[path.name] = (len(good), len(good) + len(bad))
    return Listing(sorted(entries, key=lambda entry: entry.file), problems, found)


def _without_meaningless_visibility(entries: list[FaceEntry]) -> list[FaceEntry]:
    """The faces of a file; without visibility if it is the same for all points, as many tools write it."""
    values = {value for entry in entries if entry.visible is not None for value in entry.visible.tolist()}
    return entries if {0.0, 1.0} <= values else [dataclasses.replace(entry, visible=None) for entry in entries]


def _split_of(name: str) -> str:
    return "validation" if "val" in name else "test" if "test" in name else "train"


def _read_json(path: Path) -> Any:
    check_size(path, MAX_BYTES)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(reason_for_text(path, f"not JSON: {error}"), file=path) from error


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def _categories(content: dict[str, Any], num_points: int) -> frozenset[Any] | None:
    """Identifiers of the categories with so many keypoints; None where no category says so."""
    listed = content.get("categories")
    return (
        frozenset(
            category["id"]
            for category in (listed if isinstance(listed, list) else [])
            if isinstance(category, dict)
            and isinstance(category.get("id"), int | str)
            and isinstance(category.get("keypoints"), list)
            and len(category["keypoints"]) == num_points
        )
        or None
    )


def _why_skipped(annotation: Any, wanted: _Keypoints) -> str | None:
    """Why an annotation is meant not to be one face; None of others."""
    if not isinstance(annotation, dict):
        return None
    if annotation.get("iscrowd") in (1, True):
        return "of crowds"
    category = annotation.get("category_id")
    if wanted.categories is not None and isinstance(category, int | str) and category not in wanted.categories:
        return f"of categories without {wanted.num_points} keypoints"
    if _fields(annotation, wanted.num_points)[0] == "face_kpts" and annotation.get("face_valid") in (0, False):
        return "with face_valid false"
    return None


def _fields(annotation: dict[str, Any], num_points: int) -> tuple[str, str]:
    """Names of the points and of the box: COCO-WholeBody has 17 points of the body and 68 of the face."""
    body, face = annotation.get("keypoints"), annotation.get("face_kpts")
    is_whole_body = isinstance(face, list) and not (isinstance(body, list) and len(body) == 3 * num_points)
    return ("face_kpts", "face_box") if is_whole_body else ("keypoints", "bbox")


def _skipped_notes(content: dict[str, Any], path: Path, wanted: _Keypoints) -> list[Problem]:
    """One note for each reason for which annotations are skipped."""
    reasons = Counter(reason for one in content["annotations"] if (reason := _why_skipped(one, wanted)) is not None)
    return [Problem(path.name, NOT_A_FACE, f"{count:,} {reason}", known=True) for reason, count in reasons.items()]


def _read_faces(
    content: dict[str, Any], path: Path, root: Path, split: str, wanted: _Keypoints
) -> Iterator[FaceEntry | Problem]:
    """The faces of one file, in its order."""
    images = {image["id"]: image for image in content["images"] if _is_image(image)}
    folders = _image_folders(path, root)
    places: dict[str, str | Problem] = {}
    for index, annotation in enumerate(content["annotations"]):
        if _why_skipped(annotation, wanted) is not None:
            continue
        where = f"{path.name}: annotations[{index}]"
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        image = images.get(number) if isinstance(number, int | str) else None
        if image is None:
            yield Problem(path.name, MALFORMED, f"{where}: its image_id is not in images, or has no file_name there")
            continue
        name = _name_of(image)
        place = places.get(name) or places.setdefault(name, find_image(root, name, folders, where))
        if isinstance(place, Problem):
            yield place
            continue
        points, box = _fields(annotation, wanted.num_points)
        try:
            landmarks_px, visible = _read_keypoints(annotation.get(points), where, wanted.num_points)
            edges = _read_box(annotation.get(box), where, box, wanted.needs_box)
        except AnnotationError as error:
            yield Problem(place, error.kind, str(error))
            continue
        file = PurePosixPath(place)
        photograph, subset = file.with_suffix("").as_posix(), file.parent.as_posix()
        size = _size_of(image)
        yield FaceEntry(place, landmarks_px, edges, subset, photograph, split, size=size, visible=visible)
    check_one_image({name: place for name, place in places.items() if isinstance(place, str)}, path)


def _name_of(image: dict[str, Any]) -> str:
    """The file of an image, or its address."""
    name = image.get("file_name")
    return name if isinstance(name, str) else str(image["coco_url"])


def _size_of(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height of an image, where the file has them."""
    width, height = image.get("width"), image.get("height")
    return (width, height) if type(width) is int and type(height) is int and min(width, height) > 0 else None


def _is_image(image: Any) -> bool:
    return (
        isinstance(image, dict)
        and isinstance(image.get("id"), int | str)
        and (isinstance(image.get("file_name"), str) or isinstance(image.get("coco_url"), str))
    )


def _image_folders(path: Path, root: Path) -> list[str]:
    """Folders to look in for images, relative to the data set's folder."""
    beside = path.parent.resolve()
    own = beside.relative_to(root.resolve()).as_posix() if beside.is_relative_to(root.resolve()) else "."
    split = [f"{folder}/{name.name}" for folder in (".", "images") for name in _named_after(root / folder, path.stem)]
    return list(dict.fromkeys([".", "images", own, f"{own}/images", *split]))


def _named_after(folder: Path, stem: str) -> list[Path]:
    """Folders that the name of a file ends with: `train2017` for `keypoints_train2017.json`."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and stem.endswith(path.name))


def _read_keypoints(
    values: Any, where: str, num_points: int
) -> tuple[Float[np.ndarray, "num_points 2"], Float[np.ndarray, " num_points"]]:
    """Pixels of each point from its x, y and v; and 1 for a point that is seen, 0 for a hidden one, else NaN."""
    numbers = _numbers(values)
    if numbers is None or len(numbers) % 3:
        raise AnnotationError("keypoints must be a list of numbers, three for each point", MALFORMED, file=where)
    points = numbers.reshape(-1, 3)
    if len(points) != num_points:
        raise AnnotationError(wrong_count(len(points), num_points), POINT_COUNT, file=where)
    labelled = np.where(points[:, 2:] > 0, points[:, :2], np.nan)
    landmarks_px = check_landmarks(mark_missing(labelled), where, num_points)
    seen = np.select([points[:, 2] == 2, points[:, 2] == 1], [1.0, 0.0], np.nan)
    return landmarks_px, np.where(present(landmarks_px), seen, np.nan)


def _read_box(values: Any, where: str, name: str, needed: bool) -> Float[np.ndarray, "4"] | None:
    """Left, top, right, bottom (centres of the outermost pixels) from left, top, width, height; None if it is empty."""
    numbers = np.zeros(4) if values in (None, []) else _numbers(values)
    if numbers is None or len(numbers) != 4 or not np.isfinite(numbers).all() or numbers[2:].min() < 0:
        raise AnnotationError(f"{name} must be left, top, width, height", MALFORMED, file=where)
    left, top, width, height = numbers
    if min(width, height) >= 2:
        return np.array([left, top, left + width - 1, top + height - 1])
    if needed:
        raise AnnotationError(f"{name} is empty, and data.crop.box is source", MALFORMED, file=where)
    return None


def _numbers(values: Any) -> Float[np.ndarray, " n"] | None:
    """float64 array of a list of numbers, where null is NaN; None of anything else."""
    if not isinstance(values, list) or not all(value is None or type(value) in (int, float) for value in values):
        return None
    try:
        return np.array([np.nan if value is None else float(value) for value in values])
    except OverflowError:
        return None


register(
    DataSet(
        "coco",
        title="COCO keypoints",
        read=lambda config, root: read_coco_folder(
            root,
            config.markup.num_points,
            config.train_list,
            config.validation_list,
            config.test_list,
            needs_box=config.crop.box == "source",
        ),
        lists_hold_faces=True,
    )
)
