"""COCO files as COCO, COCO-WholeBody and annotation tools write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.images import draw

from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.readers.coco import read_coco_folder
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import DataError
from flaxmark.faces.crop import CropDefinition
from flaxmark.faces.missing import present

FACE = draw(0)[1]
FLAT = [v for x, y in FACE.tolist() for v in (x, y, 2)]
BODY = [1, 2, 2] * 17


def write(folder: Path, annotations: list[dict[str, Any]], **more: object) -> Path:
    """One image a.png, with number 1, and its annotations."""
    (folder / "a.png").write_bytes(b"")
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": annotations} | more
    (folder / "faces.json").write_text(json.dumps(content))
    return folder


def notes(problems: list[entries.Problem]) -> list[tuple[str, str, bool]]:
    return [(problem.reason, problem.detail, problem.known) for problem in problems]


def test_whole_body_has_its_face_in_fields_of_its_own(tmp_path: Path) -> None:
    gone = [*FLAT[:3], 0, 0, 0, *FLAT[6:]]
    person = {"image_id": 1, "category_id": 1, "iscrowd": 0, "keypoints": BODY, "bbox": [0, 0, 500, 900]}
    valid = {"face_kpts": gone, "face_box": [10, 20, 60, 70], "face_valid": True}
    none = {"face_kpts": [0.0] * 204, "face_box": [0.0] * 4, "face_valid": False}
    categories = [{"id": 1, "name": "person", "keypoints": ["nose"] * 17}]
    write(tmp_path, [person | valid, person | none, person | none], categories=categories)
    listing = read_coco_folder(tmp_path, 68, None, None, None)
    assert len(listing.entries) == 1
    points = listing.entries[0].landmarks_px
    assert np.flatnonzero(~present(points)).tolist() == [1]
    np.testing.assert_array_equal(np.delete(points, 1, axis=0), np.delete(FACE, 1, axis=0))
    assert listing.entries[0].box is not None
    assert listing.entries[0].box.tolist() == [10, 20, 69, 89]
    assert notes(listing.problems) == [(entries.NOT_A_FACE, "2 with face_valid false", True)]
    body = read_coco_folder(tmp_path, 17, None, None, None)
    assert len(body.entries) + len(body.problems) == 3  # the same file, for its 17 points
    assert {problem.reason for problem in body.problems} == {entries.NO_EXTENT}


def test_crowds_and_other_categories_are_skipped_and_counted(tmp_path: Path) -> None:
    rle = {"segmentation": {"counts": [3, 4], "size": [9, 9]}, "area": 12.5}
    face = {"image_id": 1, "category_id": 7, "keypoints": FLAT} | rle
    annotations = [
        face, face | {"iscrowd": 1}, {"image_id": 1, "category_id": 1, "keypoints": BODY},
        {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]},
    ]  # fmt: skip
    categories = [{"id": 7, "keypoints": ["p"] * 68}, {"id": 1, "keypoints": ["p"] * 17}, {"id": 2}]
    listing = read_coco_folder(write(tmp_path, annotations, categories=categories), 68, None, None, None)
    assert len(listing.entries) == 1
    assert notes(listing.problems) == [
        (entries.NOT_A_FACE, "1 of crowds", True),
        (entries.NOT_A_FACE, "2 of categories without 68 keypoints", True),
    ]
    assert listing.found["faces.json"] == (1, 1)


@pytest.mark.parametrize("box", [[], [0, 0, 0, 0], None, [5, 5, 1, 1]])
def test_a_box_that_nobody_needs_may_be_empty(tmp_path: Path, box: object) -> None:
    write(tmp_path, [{"image_id": 1, "keypoints": FLAT, "bbox": box}, {"image_id": 1, "keypoints": FLAT}])
    listing = read_listing(DataConfig("coco"), tmp_path)
    assert [entry.box for entry in listing.entries] == [None, None]
    assert not listing.problems
    needed = read_listing(DataConfig("coco", crop=CropDefinition(box="source")), tmp_path)
    assert [problem.reason for problem in needed.problems] == [entries.MALFORMED] * 2


@pytest.mark.parametrize(
    "image",
    [
        {"file_name": "/mnt/elsewhere/upload/a.png"},
        {"file_name": "C:\\photos\\a.png"},
        {"file_name": "\\\\server\\photos\\a.png"},
        {"file_name": "https://example.org/photos/a.png?size=9"},
        {"coco_url": "http://images.cocodataset.org/train2017/a.png"},
    ],
)
def test_of_absolute_paths_and_addresses_the_name_counts(tmp_path: Path, image: dict[str, str]) -> None:
    write(tmp_path, [{"image_id": 1, "keypoints": FLAT}], images=[{"id": 1} | image])
    assert [entry.file for entry in read_coco_folder(tmp_path, 68, None, None, None).entries] == ["a.png"]


def test_an_absolute_path_into_the_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"")
    images = [{"id": i, "file_name": str(tmp_path / folder / "a.png")} for i, folder in enumerate(("one", "two"))]
    write(tmp_path, [{"image_id": i, "keypoints": FLAT} for i in (0, 1)], images=images)
    files = [entry.file for entry in read_coco_folder(tmp_path, 68, None, None, None).entries]
    assert files == ["one/a.png", "two/a.png"]


def test_two_paths_that_only_their_names_identify_are_refused(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"/mnt/{i}/a.png"} for i in (0, 1)]
    write(tmp_path, [{"image_id": i, "keypoints": FLAT} for i in (0, 1)], images=images)
    with pytest.raises(DataError) as caught:
        read_coco_folder(tmp_path, 68, None, None, None)
    assert caught.value.file == tmp_path / "faces.json"


def test_an_absolute_path_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    (tmp_path / "set").mkdir()
    names = [str(tmp_path / "secret.png"), "/etc/passwd", "file:///etc/passwd", "../secret.png", "//", "C:\\"]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    write(tmp_path / "set", [{"image_id": i, "keypoints": FLAT} for i in range(len(names))], images=images)
    listing = read_coco_folder(tmp_path / "set", 68, None, None, None)
    assert not listing.entries
    assert {problem.reason for problem in listing.problems} <= {entries.MISSING, entries.LEAVES_FOLDER}


def with_v(*changes: tuple[int, int]) -> list[float]:
    """The points of the face, all seen but those with another v."""
    points = np.column_stack([FACE, np.full(68, 2)])
    for point, v in changes:
        points[point, 2] = v
    return points.ravel().tolist()


def test_v_tells_hidden_points_from_seen_ones(tmp_path: Path) -> None:
    shown = [{"image_id": 1, "keypoints": with_v((3, 1), (5, 0), (7, 9))}, {"image_id": 1, "keypoints": with_v()}]
    first, second = (entry.visible for entry in read_coco_folder(write(tmp_path, shown), 68, None, None, None).entries)
    assert first is not None
    assert second is not None
    assert first[3] == 0
    assert np.isnan(first[[5, 7]]).all()  # missing, and of a kind that COCO does not have
    assert (np.delete(first, [3, 5, 7]) == 1).all()
    assert (second == 1).all()


@pytest.mark.parametrize("v", [1, 2])
def test_one_v_for_all_points_tells_nothing(tmp_path: Path, v: int) -> None:
    same = [{"image_id": 1, "keypoints": with_v(*((point, v) for point in range(1, 68)), (0, 0))}]
    (entry,) = read_coco_folder(write(tmp_path, same), 68, None, None, None).entries
    assert entry.visible is None
