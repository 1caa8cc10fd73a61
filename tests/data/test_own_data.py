"""The same drawn faces as .pts, CSV and COCO files, with 5 and 98 points."""

import dataclasses
import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.commands import refusal, run_command
from helpers.images import draw, encode
from PIL import Image

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.drawn import convert_landmarks
from flaxmark.data.input.feed import TrainingFeed
from flaxmark.data.input.network_input import InputForm
from flaxmark.data.input.region_tiles import padded_side
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.data.readers.coco import MAX_BYTES, read_coco_folder
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import DataError
from flaxmark.evaluation.audit.audit import audit
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import Markup, flip_landmarks
from flaxmark.faces.markup_files import FIVE_POINTS, WFLW_98, markup_to_json
from flaxmark.models.resnet import ResNetConfig
from flaxmark.system.devices import make_mesh
from flaxmark.system.progress import Progress
from flaxmark.training.xla_programs import build_programs

COUNT, VALIDATION, SIZE = 20, 4, 96
FORM = InputForm(in_step=False, resident=False, faces=16, side=128, largest_side=80.0)


def drawn(markup: Markup) -> dict[str, np.ndarray]:
    """File below the images' folder -> its points; the first ones are for validation."""
    split = {i: "val" if i < VALIDATION else "train" for i in range(COUNT)}
    return {f"{split[i]}/face{i}.png": convert_landmarks(draw(i, SIZE)[1], markup.name) for i in range(COUNT)}


def write_images(folder: Path) -> None:
    for name in ("train", "val"):
        (folder / name).mkdir(parents=True)
    for i in range(COUNT):
        split = "val" if i < VALIDATION else "train"
        (folder / split / f"face{i}.png").write_bytes(encode(draw(i, SIZE)[0], "PNG"))


def write_pts(folder: Path, points: dict[str, np.ndarray]) -> None:
    write_images(folder)
    for file, face in points.items():
        lines = "\n".join(f"{x + 1:.6f} {y + 1:.6f}" for x, y in face)
        path = folder / Path(file).with_suffix(".pts")
        path.write_text(f"version: 1\nn_points: {len(face)}\n{{\n{lines}\n}}\n")


def write_csv(folder: Path, points: dict[str, np.ndarray]) -> None:
    write_images(folder)
    for split, name in (("train", "train.csv"), ("val", "val.csv")):
        chosen = {file: face for file, face in points.items() if file.startswith(split)}
        lines = [",".join([file, *(f"{value:.6f}" for value in face.ravel())]) for file, face in chosen.items()]
        (folder / name).write_text("\n".join(lines) + "\n")


def write_coco(folder: Path, points: dict[str, np.ndarray]) -> None:
    write_images(folder / "images")
    (folder / "annotations").mkdir()
    (folder / "markup.json").write_text("{}")
    for split in ("train", "val"):
        chosen = [file for file in points if file.startswith(split)]
        content = {
            "images": [{"id": i, "file_name": file} for i, file in enumerate(chosen)],
            "annotations": [
                {
                    "image_id": i,
                    "keypoints": [v for x, y in points[file].round(6) for v in (x, y, 2)],
                    "bbox": [*landmark_box(points[file])[:2], *(np.ptp(points[file], axis=0) + 1)],
                }
                for i, file in enumerate(chosen)
            ],
        }
        (folder / "annotations" / f"keypoints_{split}.json").write_text(json.dumps(content))


WRITERS: dict[str, Callable[[Path, dict[str, np.ndarray]], None]] = {
    "pts": write_pts,
    "csv": write_csv,
    "coco": write_coco,
}


def config_of(kind: str, folder: Path, markup: Markup) -> DataConfig:
    lists = {"train_list": "train.csv", "validation_list": "val.csv"} if kind == "csv" else {}
    return DataConfig(kind, dir=str(folder), markup=markup, image_size=64, **lists)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("markup", [FIVE_POINTS, WFLW_98], ids=lambda m: m.name)
def test_every_form_gives_the_same_faces(tmp_path: Path, kind: str, markup: Markup) -> None:
    points = drawn(markup)
    WRITERS[kind](tmp_path, points)
    config = config_of(kind, tmp_path, markup)
    listing = read_listing(config, tmp_path)
    assert [problem for problem in listing.problems if not problem.known] == []
    found = {entry.file.removeprefix("images/"): entry for entry in listing.entries}
    assert set(found) == set(points)
    for file, face in points.items():
        np.testing.assert_allclose(found[file].landmarks_px, face, atol=1e-5)
        assert found[file].split == ("validation" if file.startswith("val") else "train")
    prepared = prepare(config)
    assert prepared.counts == {"train": COUNT - VALIDATION, "validation": VALIDATION}
    examples = load_split(prepared, "train")
    assert examples.landmarks.shape == (COUNT - VALIDATION, markup.num_points, 2)
    run = Config(data=config, train=TrainConfig(batch_size=8))
    form = dataclasses.replace(FORM, faces=len(examples), side=padded_side(examples.region_size))
    batch = next(TrainingFeed(examples, run, make_mesh(jax.devices()[:1]), form).batches())
    assert batch["landmarks"].shape == (8, markup.num_points, 2)
    assert np.abs(np.asarray(batch["landmarks"]) - examples.landmarks.mean(axis=0)).mean() < 0.15
    looked_at = audit(config, tmp_path, lambda total: Progress(total, 0, 1))
    assert not any("annotation" in finding.kind for finding in looked_at.findings)


def test_the_head_has_two_units_a_point() -> None:
    for markup in (FIVE_POINTS, WFLW_98):
        config = Config(data=DataConfig(markup=markup), model=ResNetConfig(depth=18))
        mean_face = jax.ShapeDtypeStruct((markup.num_points, 2), np.float32)
        state = jax.eval_shape(build_programs(config, 1, make_mesh(), FORM).init, jax.random.key(0), mean_face)
        assert state.params["head"]["bias"].shape == (2 * markup.num_points,)


def test_a_mirrored_face_has_its_names_changed(tmp_path: Path) -> None:
    """The audit finds one face of a COCO file whose left and right are swapped."""
    points = drawn(FIVE_POINTS)
    wrong = "train/face7.png"
    points[wrong] = points[wrong][list(FIVE_POINTS.flip_order or ())]
    write_coco(tmp_path, points)
    config = config_of("coco", tmp_path, FIVE_POINTS)
    findings = audit(config, tmp_path, lambda total: Progress(total, 0, 1)).findings
    assert [f.file for f in findings if f.kind == "mirrored annotation"] == [f"images/{wrong}"]
    assert flip_landmarks(points[wrong] / SIZE, FIVE_POINTS).shape == (5, 2)


def test_an_image_in_training_and_validation_files_is_found(tmp_path: Path) -> None:
    """Two faces of one image, one in each COCO file: the audit names it, preparation leaves the training face out."""
    points = drawn(FIVE_POINTS)
    write_coco(tmp_path, points)
    path = tmp_path / "annotations" / "keypoints_val.json"
    content = json.loads(path.read_text())
    moved = points["train/face7.png"] + 3
    content["images"].append({"id": "x", "file_name": "train/face7.png"})
    content["annotations"].append({"image_id": "x", "keypoints": [v for x, y in moved for v in (x, y, 2)]})
    path.write_text(json.dumps(content))
    config = config_of("coco", tmp_path, FIVE_POINTS)
    looked_at = audit(config, tmp_path, lambda total: Progress(total, 0, 1))
    assert looked_at.shares_photographs
    assert prepare(config).counts == {"train": COUNT - VALIDATION - 1, "validation": VALIDATION + 1}


def spoil(keypoints: list, how: str) -> object:
    changed: dict[str, object] = {
        "hidden": [*([0, 0, 0] * 3), *keypoints[9:]],
        "short": keypoints[:-3],
        "odd": keypoints[:-1],
        "text": ["x", *keypoints[1:]],
        "huge": [10**400, *keypoints[1:]],
        "nan": [float("nan"), *keypoints[1:]],
        "none": None,
    }
    return changed[how]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("hidden", entries.NOT_LABELLED), ("short", entries.POINT_COUNT), ("odd", entries.MALFORMED),
        ("text", entries.MALFORMED), ("huge", entries.MALFORMED), ("nan", entries.NOT_FINITE),
        ("none", entries.MALFORMED),
    ],
)  # fmt: skip
def test_a_bad_coco_face_is_left_out_and_counted(tmp_path: Path, how: str, reason: str) -> None:
    write_coco(tmp_path, drawn(FIVE_POINTS))
    path = tmp_path / "annotations" / "keypoints_train.json"
    content = json.loads(path.read_text())
    content["annotations"][2]["keypoints"] = spoil(content["annotations"][2]["keypoints"], how)
    path.write_text(json.dumps(content))
    listing = read_coco_folder(tmp_path, 5, None, None, None)
    bad = [problem for problem in listing.problems if not problem.known]
    assert [problem.reason for problem in bad] == [reason]
    assert "annotations[2]" in bad[0].detail
    assert listing.found["keypoints_train.json"] == (COUNT - VALIDATION - 1, COUNT - VALIDATION)


def test_coco_names_stay_inside_and_images_must_be_there(tmp_path: Path) -> None:
    write_coco(tmp_path / "set", drawn(FIVE_POINTS))
    (tmp_path / "secret.png").write_bytes(b"")
    path = tmp_path / "set" / "annotations" / "keypoints_train.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "../secret.png"
    content["images"][1]["file_name"] = "train/nobody.png"
    content["annotations"][2]["image_id"] = 999
    content["annotations"][3]["bbox"] = [0, 0, 1, -5]
    content["annotations"][4]["image_id"] = [1]
    content["images"][5]["file_name"] = "\ud800.png"  # half a character
    content["annotations"] += [7]
    path.write_text(json.dumps(content))
    listing = read_coco_folder(tmp_path / "set", 5, None, None, None)
    counts = Counter(problem.reason for problem in listing.problems if not problem.known)
    assert counts == {entries.LEAVES_FOLDER: 2, entries.MISSING: 1, entries.MALFORMED: 4}
    named = read_coco_folder(tmp_path / "set", 5, "annotations/keypoints_val.json", None, None)
    assert {entry.split for entry in named.entries} == {"train"}
    for text, complaint in (("[" * 10**5, "not JSON"), ("{", "not JSON"), ("{}", "must have the lists images")):
        (tmp_path / "set" / "bad.json").write_text(text)
        with pytest.raises(DataError, match=complaint) as caught:
            read_coco_folder(tmp_path / "set", 5, "bad.json", None, None)
        assert caught.value.file == tmp_path / "set" / "bad.json"
    os.truncate(tmp_path / "set" / "bad.json", MAX_BYTES + 1)
    with pytest.raises(DataError, match="above 250 MB") as caught:
        read_coco_folder(tmp_path / "set", 5, None, None, None)
    assert caught.value.file == tmp_path / "set" / "bad.json"
    with pytest.raises(DataError) as caught:
        read_coco_folder(tmp_path / "set" / "images", 5, None, None, None)
    assert (caught.value.field, caught.value.value) == ("data.dir", tmp_path / "set" / "images")


def test_a_folder_with_pts_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pts(tmp_path / "set", drawn(FIVE_POINTS))
    root = tmp_path / "set"
    (root / "train" / "face5.pts").unlink()
    (root / "train" / "alone.pts").write_text("1 1\n")
    (root / "train" / "face6.pts").write_text("1 1\n2 2\n")
    (root / "more").symlink_to(root / "val")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.png").write_bytes(b"")
    (root / "train" / "face7.pts").write_text("9 9\n9.5 9\n20 20\n5 30\n30 30\n")  # one eye on the other
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    for ending in (".png", ".pts"):  # names of any bytes
        for odd in (b"val/caf\xe9", b"caf\xe9/a"):
            shutil.copy(root / "val" / ("face0" + ending), root / (os.fsdecode(odd) + ending))
    (root / "locked").mkdir()
    scandir = os.scandir

    def locked(path: str) -> Iterator[os.DirEntry[str]]:
        if os.fspath(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    listing = read_listing(config_of("pts", root, FIVE_POINTS), root)
    assert listing.found["caf\\udce9"] == (1, 1)
    assert {problem.file: problem.reason for problem in listing.problems} == {
        "train/face5.png": entries.NO_ANNOTATION,
        "train/alone.pts": entries.NO_IMAGE,
        "train/face6.png": entries.POINT_COUNT,
        "train/face7.png": entries.NO_EXTENT,
        "val/caf\\udce9.png": entries.ODD_NAME,
        "caf\\udce9/a.png": entries.ODD_NAME,
        "locked": entries.UNREADABLE_FOLDER,
        "more": entries.LINKED_FOLDER,
    }


def test_own_faces_train_evaluate_and_predict(environment: dict[str, str], tmp_path: Path) -> None:
    """One command each, with a mark-up of the user's own in a file."""
    write_pts(tmp_path / "set", drawn(FIVE_POINTS))
    mine = markup_to_json(Markup(**vars(FIVE_POINTS) | {"name": "mine"}))
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    data = ["--data.name", "pts", "--data.dir", tmp_path / "set"]

    train = ["--config", "configs/quickstart.py", *data, "--data.markup", tmp_path / "mine.json"]
    train += ["--data.image-size", "64", "--train.epochs", "1", "--train.batch-size", "8"]
    done = run_command(environment, "train", *train, "--workdir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    (tmp_path / "mine.json").unlink()  # the run has all of it
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    figures = result["splits"]["validation"]
    assert len(figures["points"]) == 5
    assert "yaw" not in figures["faces"]
    assert result["config"]["data"]["markup"] == json.loads(json.dumps(mine))
    assert np.asarray(Image.open(tmp_path / "run" / "test.png")).shape[0] > 200
    image = tmp_path / "set" / "val" / "face0.png"
    done = run_command(environment, "predict", "--workdir", tmp_path / "run", image, "--pts", image.with_suffix(".pts"))
    assert done.returncode == 0, done.stderr
    assert np.shape(json.loads(done.stdout)["faces"][0]["landmarks"]) == (5, 2)
    said = refusal("evaluate", "--workdir", tmp_path / "run", "--data.markup", "five_points")
    assert "--data.markup: the run's own is fixed" in said
    wrong = mine | {"flip_order": [0, 1, 2, 3, 4]}  # type: ignore[operator]
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    said = refusal("train", *train[:-7], tmp_path / "wrong.json", *train[-6:], "--workdir", tmp_path / "other")
    assert "--data.markup" in said
    assert "flip_order[" in said
