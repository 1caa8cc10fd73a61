import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.images import save_red, write_folder
from PIL import Image

from flaxmark.data.readers.coco import read_coco_folder
from flaxmark.data.readers.pts import read_pts
from flaxmark.errors import ConfigError, ImageError, StorageError
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference.face import Face
from flaxmark.inference.files.drawing_paths import drawing_paths, refuse_pts_files, refuse_same_pts
from flaxmark.inference.files.inputs import Input, find_inputs
from flaxmark.inference.files.partial import Format, PartialResults
from flaxmark.inference.files.predict_all import predict_images, predict_video
from flaxmark.inference.files.writers import make_writer
from flaxmark.inference.video.frames import VideoFormat, read_frames
from flaxmark.inference.video.tracking import TrackedFace


class FakePredictor:
    """Finds as many faces as the red of an image's upper left pixel."""

    max_megapixels = 64.0
    left_out = 0

    def predict_many(self, images: Iterable[np.ndarray], boxes: object) -> Iterator[list[Face]]:
        for image in images:
            count = int(image[0, 0, 0])
            corner = np.array([[1.0, 2], [9, 2], [5, 5], [2, 8], [8, 8]])
            boxes = [np.array([1.0, 2, 9, 8]) + 10 * i for i in range(count)]
            yield [Face(corner + 10 * i + 0.123456, box, 0.5 + i / 10, np.full(5, 0.25)) for i, box in enumerate(boxes)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "in")


def results_in(form: Format, out: Path | None, overwrite: bool = False, resume: bool = False) -> PartialResults | None:
    return None if out is None else PartialResults(form, out, overwrite, resume)


def run(folder: Path, form: Format, out: Path | None, draw: Path | None = None) -> object:
    inputs = find_inputs([str(folder)])
    writer = make_writer(form, results_in(form, out), FIVE_POINTS, "free")
    report = predict_images(
        inputs,
        FakePredictor(),  # type: ignore[arg-type]
        None,
        writer,
        drawing_paths(inputs, draw and str(draw), False),
    )
    writer.close()
    assert (report.done, report.faces, report.empty, len(report.broken)) == (3, 3, 1, 1)
    assert "broken.jpg" in report.broken[0]
    assert str(report) == "3 images, 1 of them without a face, 1 broken: 3 faces"
    return report


def test_live_photos_are_drawn_beside_each_other(tmp_path: Path) -> None:
    """An iPhone stores an image and a video of the same name."""
    for name in ("IMG_1.JPG", "IMG_1.MOV"):
        (tmp_path / name).touch()
    inputs = find_inputs([str(tmp_path)])
    paths = drawing_paths(inputs, str(tmp_path / "drawn"), False)
    assert {path.suffix for path in paths.values()} > {".mp4"}
    (tmp_path / "IMG_1.MP4").touch()
    with pytest.raises(ConfigError) as caught:
        drawing_paths(find_inputs([str(tmp_path)]), str(tmp_path / "drawn"), False)
    assert caught.value.file == tmp_path / "IMG_1.MP4"


def test_images_without_a_face_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        save_red(tmp_path / f"{number:02}.png", red=number == 3)
    inputs = find_inputs([str(tmp_path)])
    predict_images(inputs, FakePredictor(), None, make_writer("csv", None, FIVE_POINTS, "free"), {})  # type: ignore[arg-type]
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("without a face")]
    assert f"{tmp_path}/00.png, " in line
    assert f"{tmp_path}/10.png and 1 more" in line
    assert "03.png" not in line
    rows = list(csv.DictReader(printed.out.splitlines()))
    assert [row["face"] for row in rows] == ["0", "0", "0", "1"] + ["0"] * 8


def test_lines_of_json(images: Path, tmp_path: Path) -> None:
    run(images, "jsonl", tmp_path / "x.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    names = [str(images / name) for name in ("a.png", "b.png", "sub/c.png")]  # as they were given, with their folder
    assert [(line["image"], len(line["faces"])) for line in lines] == [*zip(names, (1, 2, 0), strict=True)]
    assert (lines[0]["width"], lines[0]["height"], lines[0]["terms"]) == (40, 30, "free")
    second = lines[1]["faces"][1]
    assert second["landmarks"][0] == [11.123, 12.123]
    assert (second["box"], second["score"], second["sigma"]) == ([11, 12, 19, 18], 0.6, [0.25] * 5)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_csv_has_a_line_a_face(images: Path, tmp_path: Path) -> None:
    run(images, "csv", tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    named = [(Path(row["file"]).name, row["face"]) for row in rows]
    assert named == [("a.png", "1"), ("b.png", "1"), ("b.png", "2"), ("c.png", "0")]  # without a face
    assert {key for key, cell in rows[3].items() if cell} == {"file", "face"}
    assert float(rows[2]["y4"]) == 18.123
    assert float(rows[2]["left"]) == 11


@pytest.mark.parametrize("visible", [None, np.array([0.987, 0.5, 0.499, 0.0, 1.0])])
def test_hidden_points(visible: np.ndarray | None, tmp_path: Path) -> None:
    """COCO's v is 1 for them; CSV has their probabilities behind the points if the network predicts them."""
    face = Face(np.arange(10.0).reshape(5, 2), np.array([0.0, 1, 8, 9]), visible=visible)
    for form in ("csv", "coco"):
        writer = make_writer(form, results_in(form, tmp_path / form), FIVE_POINTS, "free")
        writer.write(Input(Path("a.png"), "a.png"), (10, 10), [face], {})
        writer.close()
    (annotation,) = json.loads((tmp_path / "coco").read_text())["annotations"]
    assert annotation["keypoints"][2::3] == ([2] * 5 if visible is None else [2, 2, 1, 1, 2])
    assert annotation["num_keypoints"] == 5
    with (tmp_path / "csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    columns = list(row)[list(row).index("y4") + 1 :]
    assert columns == ([] if visible is None else ["visible0", "visible1", "visible2", "visible3", "visible4"])
    assert [row[column] for column in columns] == ([] if visible is None else ["0.987", "0.5", "0.499", "0.0", "1.0"])


def test_pts_are_read_back(images: Path, tmp_path: Path) -> None:
    run(images, "pts", tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.pts"))
    assert names == ["a.pts", "b_face1.pts", "b_face2.pts"]
    points = read_pts(tmp_path / "out" / "b_face2.pts", 5)
    np.testing.assert_allclose(points[0], [11.123, 12.123], atol=1e-9)
    with pytest.raises(ConfigError) as exists, PartialResults("pts", tmp_path / "out") as results:
        refuse_pts_files(find_inputs([str(images)]), results)
    assert (exists.value.field, exists.value.file) == ("out", tmp_path / "out" / "a.pts")
    with PartialResults("pts", tmp_path / "out", overwrite=True) as results:
        refuse_pts_files(find_inputs([str(images)]), results)
    save_red(images / "b_face2.png", 1)
    with pytest.raises(ConfigError) as shared:
        refuse_same_pts(find_inputs([str(images)]))
    assert shared.value.file == "b_face2"


def test_coco_is_read_back(images: Path, tmp_path: Path) -> None:
    run(images, "coco", images / "found.json")
    listing = read_coco_folder(images, 5, None, None, None)
    assert [entry.file for entry in listing.entries] == ["a.png", "b.png", "b.png"]
    np.testing.assert_allclose(listing.entries[2].landmarks_px[4], [18.123, 18.123], atol=1e-9)
    assert listing.entries[2].box is not None
    assert listing.entries[2].box.tolist() == [11, 12, 19, 18]


def test_drawings_have_the_names_of_their_images(images: Path, tmp_path: Path) -> None:
    run(images, "jsonl", None, tmp_path / "drawn")
    drawn = sorted(path.relative_to(tmp_path / "drawn").as_posix() for path in (tmp_path / "drawn").rglob("*.*"))
    assert drawn == ["a.png", "b.png", "sub/c.png"]
    inputs = find_inputs([str(images)])
    with Image.open(tmp_path / "drawn" / "a.png") as image:
        assert image.size == (40, 30)  # that of the image
    one = inputs[:1]
    for items, draw, kind in (
        (inputs, tmp_path / "drawn", ConfigError),  # files exist
        (inputs, tmp_path / "x.png", ConfigError),  # one file for four images
        (inputs, "", ConfigError),
        (one, tmp_path / "x.tga", ConfigError),
        (one, tmp_path / "x.mp4", ConfigError),
        (one, "/proc/none", StorageError),
    ):
        with pytest.raises(kind) as caught:
            drawing_paths(items, str(draw), False)
        assert caught.value.field == "draw"
    assert drawing_paths(inputs, str(tmp_path / "drawn.v2"), False)["a.png"] == tmp_path / "drawn.v2" / "a.png"
    save_red(images / "a.bmp", 1)
    with pytest.raises(ConfigError) as shared:
        drawing_paths(find_inputs([str(images)]), str(tmp_path / "other"), False)
    assert shared.value.file == images / "a.png"


def test_a_drawing_never_replaces_its_image(images: Path) -> None:
    before = (images / "a.png").read_bytes()
    for draw in (images / "a.png", images / "sub" / ".." / "a.png", images):
        with pytest.raises(ConfigError) as caught:
            drawing_paths(find_inputs([str(images / "a.png")]), str(draw), True)
        assert caught.value.field == "draw"
    assert (images / "a.png").read_bytes() == before


def test_files_of_earlier_versions_are_resumed(images: Path, tmp_path: Path) -> None:
    """The key of an image was `picture`; a CSV file keeps the columns that it has."""
    (tmp_path / "x.jsonl").write_text('{"picture": "b.png", "faces": []}\n{"image": "c.png", "faces": []}\n')
    with PartialResults("jsonl", tmp_path / "x.jsonl", resume=True) as results:
        assert results.done == {"b.png", "c.png"}
    out = tmp_path / "x.csv"
    out.write_text("file,face,x1,gone\nb.png,1,5.0,6.0\n")
    results = PartialResults("csv", out, resume=True)
    assert results.done == {"b.png"}
    writer = make_writer("csv", results, FIVE_POINTS, "free")
    predict_images(find_inputs([str(images / "a.png")]), FakePredictor(), None, writer, {})  # type: ignore[arg-type]
    writer.close()
    assert out.read_text().splitlines()[2] == f"{images / 'a.png'},1,9.123,"


def test_names_that_are_not_text(tmp_path: Path) -> None:
    """Linux allows any bytes in a name."""
    item = Input(Path(os.fsdecode(b"caf\xe9.png")), "cafe.png")
    face = Face(np.zeros((5, 2)), np.zeros(4))
    for form in ("jsonl", "csv"):
        writer = make_writer(form, results_in(form, tmp_path / form), FIVE_POINTS, "free")
        writer.write(item, (9, 9), [face], {})
        writer.close()
        assert "caf\\" in (tmp_path / form).read_text()


def test_what_is_left_out_is_counted(images: Path) -> None:
    class Unsure(FakePredictor):
        def predict_many(self, images: Iterable[np.ndarray], boxes: object) -> Iterator[list[Face]]:
            for _ in images:
                self.left_out += 2
                yield []

    writer = make_writer("jsonl", None, FIVE_POINTS, "free")
    inputs = find_inputs([str(images / "a.png")])
    report = predict_images(inputs, Unsure(), None, writer, {})  # type: ignore[arg-type]
    assert str(report) == "1 image: no face, 2 more with a score below --min-score"


def test_nothing_is_written_where_nothing_is_done(tmp_path: Path) -> None:
    for form in ("jsonl", "csv", "coco"):
        make_writer(form, results_in(form, tmp_path / f"x.{form}"), FIVE_POINTS, "free").close()
    assert list(tmp_path.iterdir()) == []
    for form in ("pts", "coco"):
        with pytest.raises(ConfigError) as caught:
            make_writer(form, None, FIVE_POINTS, "free")
        assert caught.value.field == "out"


def test_without_out_lines_are_printed(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(images, "jsonl", None)
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no device that is full")
def test_a_full_disk_behind_standard_output_is_named(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Unbuffered, so that nothing is left to be written when it is closed.
    with open(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0) as full:
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(full, write_through=True))
        with pytest.raises(StorageError):
            run(images, "jsonl", None)


class FakeTracker:
    """Finds face number 7 in every frame but the first."""

    def update(self, frame: np.ndarray, seconds: float) -> list[TrackedFace]:
        face = Face(np.full((5, 2), 10.0 * seconds), np.array([1.0, 2, 9, 8]))
        return [TrackedFace(7, face, face.landmarks)] if seconds else []


def test_a_video_gives_a_line_a_frame_and_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("av")
    frames = [(number / 10, np.full((32, 48, 3), 100, np.uint8)) for number in range(3)]

    def broken() -> Iterator[tuple[float, np.ndarray]]:
        yield from frames
        raise ImageError("damaged", file="clip.mp4")

    writer = make_writer("jsonl", results_in("jsonl", tmp_path / "x.jsonl"), FIVE_POINTS, "free")
    tracker: Any = FakeTracker()
    form = VideoFormat()
    report = predict_video(Input(Path("clip.mp4"), "clip.mp4"), broken(), tracker, writer, tmp_path / "drawn.mp4", form)
    writer.close()
    assert (report.done, report.faces, report.empty, report.broken) == (3, 2, 1, ["clip.mp4: damaged"])
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["seconds"], len(line["faces"])) for line in lines] == [
        (0, 0, 0),
        (1, 0.1, 1),
        (2, 0.2, 1),
    ]
    assert lines[1]["faces"][0]["id"] == 7
    times, drawn = zip(*read_frames(tmp_path / "drawn.mp4"), strict=True)
    assert times == pytest.approx((0, 0.1, 0.2), abs=1e-4)
    assert np.abs(drawn[0].astype(int) - 100).max() < 8
    assert np.abs(drawn[2].astype(int) - 100).max() > 60
