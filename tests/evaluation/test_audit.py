import collections
import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import Tree
from helpers.images import draw, encode
from PIL import Image, ImageOps

from flaxmark.data.config import DataConfig
from flaxmark.data.entries import HELD_OUT, KNOWN_COPY, POINTS_MISSING, FaceEntry
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import DataError
from flaxmark.evaluation.audit.audit import audit, write_audit
from flaxmark.evaluation.audit.checks import check_boxes_fit, check_names, check_points
from flaxmark.evaluation.audit.image_hash import find_copies, fingerprint
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68
from flaxmark.system.progress import Progress

real = pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="needs the real faces")
FACES = [draw(seed, 96)[1] for seed in range(40)]


def start(total: int) -> Progress:
    return Progress(total, 0, 1)


def entries_of(points: list[np.ndarray]) -> list[FaceEntry]:
    return [FaceEntry(f"{i}.jpg", p, None, "s", f"{i}", "train") for i, p in enumerate(points)]


def kinds(findings: list) -> dict[str, list[str]]:
    found = collections.defaultdict(list)
    for finding in findings:
        found[finding.kind].append(finding.file)
    return dict(found)


def test_points_outside_and_on_the_border() -> None:
    points = [FACES[1].copy() for _ in range(4)]
    points[1][3] = (-4, 20)
    points[2][5] = (95, 40)
    points[3] = 3 + points[3] * 0.3
    found = kinds(check_points(entries_of(points), {f"{i}.jpg": (96, 96) for i in range(4)}, IBUG_68))
    assert found == {
        "points outside the image": ["1.jpg"], "points on the border": ["2.jpg"], "small face": ["3.jpg"],
    }  # fmt: skip


def test_the_flip_test_finds_mirrored_and_swapped_names() -> None:
    order = np.array(IBUG_68.flip_order)
    points = [face.copy() for face in FACES]
    points[7] = points[7][order]
    eyes = list(IBUG_68.parts["eyes"])
    points[11][eyes] = points[11][order[eyes]]
    assert kinds(check_names(entries_of(points), IBUG_68)) == {
        "mirrored annotation": ["7.jpg"],
        "swapped annotation": ["11.jpg"],
    }
    assert check_names(entries_of(FACES), IBUG_68) == []
    assert check_names([], IBUG_68) == []


def test_the_flip_test_holds_for_faces_with_missing_points() -> None:
    order, rng = np.array(IBUG_68.flip_order), np.random.default_rng(0)
    points = [face.copy() for face in FACES]
    points[7] = points[7][order]
    for face in points:
        face[rng.uniform(size=68) < 0.3] = np.nan
    assert kinds(check_names(entries_of(points), IBUG_68)) == {"mirrored annotation": ["7.jpg"]}


def test_missing_points_are_found_and_nothing_else_of_their_faces() -> None:
    points = [face.copy() for face in FACES[1:3]]
    points[1][[0, 1, 36]] = np.nan
    findings = check_points(entries_of(points), {"0.jpg": (96, 96), "1.jpg": (96, 96)}, IBUG_68)
    assert [(finding.file, finding.kind, finding.detail) for finding in findings] == [
        ("1.jpg", POINTS_MISSING, "3 of 68")
    ]
    box = landmark_box(FACES[1]) + np.array([-30, -30, 30, 30])
    assert check_boxes_fit([dataclasses.replace(entries_of(points)[1], box=box)]) == []


def test_boxes_beside_their_points() -> None:
    box = landmark_box(FACES[0])
    entries = [
        dataclasses.replace(entries_of(FACES[:1])[0], file=name, box=np.asarray(values))
        for name, values in (("good", box), ("off", box + 40), ("large", (box - box.mean()) * 2.5 + box.mean()))
    ]
    assert [finding.file for finding in check_boxes_fit(entries)] == ["off", "large"]


def test_copies_are_found_by_their_looks(tmp_path: Path) -> None:
    image = Image.fromarray(draw(1, 200)[0])
    variants = {
        "original.png": image,
        "smaller.jpg": image.resize((120, 120)),
        "mirrored.png": ImageOps.mirror(image),
        "darker.png": image.point(lambda value: value * 0.8),
        **{f"other{seed}.png": Image.fromarray(draw(seed, 200)[0]) for seed in range(2, 9)},
    }
    for name, variant in variants.items():
        variant.save(tmp_path / name)
    shutil.copy(tmp_path / "original.png", tmp_path / "again.png")
    names = [*variants, "again.png"]
    looks = [fingerprint(tmp_path / n, np.asarray(Image.open(tmp_path / n).convert("RGB"))) for n in names]
    pairs = {(names[i], names[j]): how for i, j, how in find_copies(looks)}
    assert pairs["original.png", "again.png"] == "identical"
    assert pairs["original.png", "smaller.jpg"] == pairs["original.png", "darker.png"] == "similar"
    assert pairs["original.png", "mirrored.png"] == "mirrored"
    assert not any("other" in name for pair in pairs for name in pair)


def test_the_official_tree_is_clean_but_for_the_known_photograph(official_tree: Tree, tmp_path: Path) -> None:
    config = DataConfig(dir=str(official_tree.folder))
    result = audit(config, official_tree.folder, start)
    found = kinds(result.findings)
    assert not result.shares_photographs
    assert found["photograph shared in the official lists"] == ["helen/trainset/296814969_1.jpg"]
    assert sorted(f for f, d in ((x.file, x.detail) for x in result.findings if x.kind == "odd image") if d == "grey")
    assert result.found["afw"] == (12, 337)
    paths = write_audit(result, official_tree.folder, config, tmp_path)
    assert {path.name for path in paths} >= {"audit.json", "faces.png", "sheet_afw.jpg", "sheet_helen_trainset.jpg"}
    assert all(path.stat().st_size for path in paths)
    stored = json.loads(paths[0].read_text())
    assert len(stored["findings"]) == len(result.findings)


def test_a_photograph_on_both_sides_is_severe(official_tree: Tree, tmp_path: Path) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(official_tree.folder, folder)
    image = Image.open(folder / "afw/2001_1.jpg")
    (folder / "ibug/image_099.jpg").write_bytes(encode(np.asarray(image.resize((140, 140))), "JPEG"))
    shutil.copy(folder / "afw/2001_1.pts", folder / "ibug/image_099.pts")
    (folder / "afw/2002_1.jpg").write_bytes(b"no image")
    result = audit(DataConfig(dir=str(folder)), folder, start)
    assert result.shares_photographs
    found = kinds(result.findings)
    assert found[HELD_OUT] == ["afw/2001_1.jpg"]
    assert "afw/2002_1.jpg" in found["unreadable image"]


@pytest.mark.parametrize("name", ["ibug_300w", "pts"])
def test_known_copies_of_300w_are_named_and_other_copies_are_severe(
    official_tree: Tree, tmp_path: Path, name: str
) -> None:
    folder, subset = tmp_path / "copies", "lfpw/trainset"
    (folder / subset).mkdir(parents=True)
    files = {number: f"{subset}/image_{number:04d}.jpg" for number in (482, 503, 1, 2)}
    for old, numbers in {"afw/2001_1": (482, 503), "afw/2002_1": (1, 2)}.items():
        image = Image.open(official_tree.folder / f"{old}.jpg")
        for quality, number in zip((95, 60), numbers, strict=True):
            image.save(folder / files[number], quality=quality)
            shutil.copy(official_tree.folder / f"{old}.pts", (folder / files[number]).with_suffix(".pts"))
    listed = {482} if name == "pts" else set()  # names of the user's own files mean nothing
    for training, held_out, severe in (([503, 1, 2], [482], listed), ([482, 1], [503, 2], listed | {1})):
        for split, numbers in (("train", training), ("validation", held_out)):
            (folder / f"{split}.txt").write_text("\n".join(files[number] for number in numbers))
        lists = {"train_list": "train.txt", "validation_list": "validation.txt"}
        result = audit(DataConfig(name=name, dir=str(folder), **lists), folder, start)  # type: ignore[arg-type]
        found = kinds(result.findings)
        assert set(found.get(HELD_OUT, [])) == {files[number] for number in severe}
        assert found.get(KNOWN_COPY, []) == ([] if name == "pts" else [files[training[0]]])
        assert all(files[held_out[0]] in f.detail for f in result.findings if f.kind == KNOWN_COPY)
        assert result.shares_photographs == bool(severe)


def test_a_mistyped_coordinate_takes_no_memory(csv_tree: Tree, tmp_path: Path) -> None:
    """The crop around it has a million pixels a side."""
    config = DataConfig("csv", dir=str(csv_tree.folder))
    entry = read_listing(config, csv_tree.folder).entries[0]
    points = entry.landmarks_px.copy()
    points[3, 0] = 1e6
    found = audit(config, csv_tree.folder, lambda total: Progress(total, 0, 1))
    names = ("a_b", "a/b", "a_/b", "a/_b", "é" * 100 + "/1", "é" * 100 + "/2")
    sheets = {name: [dataclasses.replace(entry, landmarks_px=points)] for name in names}
    paths = write_audit(dataclasses.replace(found, samples=sheets), csv_tree.folder, config, tmp_path)
    assert len({path for path in paths if path.is_file()}) == 2 + len(names)


def test_twins_of_dlibs_packaging_are_found(dlib_tree: Tree) -> None:
    result = audit(DataConfig(name="dlib", dir=str(dlib_tree.folder)), dlib_tree.folder, start)
    assert not result.shares_photographs
    assert result.found["mirrored twins, left out"][0] > 0


def test_names_of_a_csv_are_people_not_photographs(csv_tree: Tree) -> None:
    result = audit(DataConfig(name="csv", dir=str(csv_tree.folder)), csv_tree.folder, start)
    assert set(result.splits) == {"train", "test"}
    assert not result.shares_photographs


def test_a_folder_without_faces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        audit(DataConfig(dir=str(tmp_path)), tmp_path, start)
    assert (caught.value.field, caught.value.value) == ("data.dir", tmp_path)
    (tmp_path / "a.jpg").write_text("")
    with pytest.raises(DataError, match=r"1 problem, the first: a\.jpg") as caught:
        audit(DataConfig(name="pts", dir=str(tmp_path)), tmp_path, start)
    assert caught.value.field == "data.dir"


@real
def test_the_real_faces_are_clean() -> None:
    root = Path(os.environ["FLAXMARK_DATA"], "300w")
    result = audit(DataConfig(dir=str(root)), root, start)
    found = kinds(result.findings)
    assert not result.shares_photographs
    assert "mirrored annotation" not in found
    assert sum(count for count, _ in result.found.values()) == 2012
    divided = audit(DataConfig(dir=str(root), train_list="train.txt", validation_list="val.txt"), root, start)
    assert not divided.shares_photographs
    assert len(kinds(divided.findings)[KNOWN_COPY]) == 21
