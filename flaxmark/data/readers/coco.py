"""Faces in COCO keypoints files: `images`, and `annotations` with x, y and visibility of each point."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

from flaxmark.data.data_sets import DataSet, register
from flaxmark.data.entries import (
    MALFORMED,
    NOT_LABELLED,
    POINT_COUNT,
    AnnotationError,
    FaceEntry,
    Listing,
    Problem,
    check_landmarks,
    count_points,
    divide,
    find_image,
)
from flaxmark.data.readers.lists import check_size, find_list
from flaxmark.errors import DataError

MAX_BYTES = 250_000_000  # in memory it takes up to 25 times as much; COCO's own largest has 238 MB
NO_FACES = "JSON without COCO's images and annotations"


def read_coco_folder(
    root: Path, num_points: int, train_list: str | None, validation_list: str | None, test_list: str | None
) -> Listing:
    """List the faces of the COCO keypoints files of a folder, or of the files that the config's lists name.

    Images are looked for in the folder, in its `images/`, and beside the file. Without a list, all JSON files of the
    folder and of its `annotations/` are read: those with `val` in their names are for validation, with `test` for test.
    `found` counts each file. Raises DataError where there is no such file, or a named one cannot be read.
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
        good, bad = divide(_read_faces(content, path, root, split, num_points))
        entries += good
        problems += bad
        found[path.name] = (len(good), len(good) + len(bad))
    return Listing(sorted(entries, key=lambda entry: entry.file), problems, found)


def _split_of(name: str) -> str:
    return "validation" if "val" in name else "test" if "test" in name else "train"


def _read_json(path: Path) -> Any:
    check_size(path, MAX_BYTES)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", file=path) from error


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def _read_faces(
    content: dict[str, Any], path: Path, root: Path, split: str, num_points: int
) -> Iterator[FaceEntry | Problem]:
    """The faces of one file, in its order."""
    names = {image.get("id"): image.get("file_name") for image in content["images"] if _is_image(image)}
    folders = _image_folders(path, root)
    places: dict[str, str | Problem] = {}
    for index, annotation in enumerate(content["annotations"]):
        where = f"{path.name}: annotations[{index}]"
        image = annotation.get("image_id") if isinstance(annotation, dict) else None
        name = names.get(image) if isinstance(image, int | str) else None
        if name is None:
            yield Problem(path.name, MALFORMED, f"{where}: its image_id is not in images, or has no file_name there")
            continue
        place = places.get(name) or places.setdefault(name, find_image(root, name, folders, where))
        if isinstance(place, Problem):
            yield place
            continue
        try:
            landmarks_px = _read_keypoints(annotation.get("keypoints"), where, num_points)
            box = _read_box(annotation.get("bbox"), where)
        except AnnotationError as error:
            yield Problem(place, error.kind, str(error))
            continue
        file = PurePosixPath(place)
        photograph, subset = file.with_suffix("").as_posix(), file.parent.as_posix()
        yield FaceEntry(place, landmarks_px, box, subset, photograph, split)


def _is_image(image: Any) -> bool:
    return (
        isinstance(image, dict) and isinstance(image.get("id"), int | str) and isinstance(image.get("file_name"), str)
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


def _read_keypoints(values: Any, where: str, num_points: int) -> Float[np.ndarray, "num_points 2"]:
    """Pixels of each point from its x, y and visibility."""
    numbers = _numbers(values)
    if numbers is None or len(numbers) % 3:
        raise AnnotationError("keypoints must be a list of numbers, three for each point", MALFORMED, file=where)
    points = numbers.reshape(-1, 3)
    if len(points) != num_points:
        raise AnnotationError(f"{count_points(len(points))} instead of {num_points}", POINT_COUNT, file=where)
    hidden = np.flatnonzero(points[:, 2] == 0)
    if hidden.size:
        reason = f"{count_points(hidden.size)} not labelled, the first is {hidden[0]}"
        raise AnnotationError(reason, NOT_LABELLED, file=where)
    return check_landmarks(points[:, :2], where, num_points)


def _read_box(values: Any, where: str) -> Float[np.ndarray, "4"] | None:
    """Left, top, right, bottom (centres of the outermost pixels) from left, top, width, height."""
    if values is None:
        return None
    numbers = _numbers(values)
    if numbers is None or len(numbers) != 4 or not np.isfinite(numbers).all() or numbers[2:].min() < 2:
        raise AnnotationError("bbox must be left, top, width, height of at least 2 pixels", MALFORMED, file=where)
    left, top, width, height = numbers
    return np.array([left, top, left + width - 1, top + height - 1])


def _numbers(values: Any) -> Float[np.ndarray, " n"] | None:
    """float64 array of a list of numbers; None of anything else."""
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        return None
    try:
        return np.array([float(value) for value in values])
    except OverflowError:
        return None


register(
    DataSet(
        "coco",
        title="COCO keypoints",
        read=lambda config, root: read_coco_folder(
            root, config.markup.num_points, config.train_list, config.validation_list, config.test_list
        ),
        lists_hold_faces=True,
    )
)
