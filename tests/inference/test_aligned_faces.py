"""Faces as text, upright crops of faces, and their files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.images import draw
from PIL import Image

from flaxmark.cli.commands import predict
from flaxmark.data.drawn.head.frontal import neutral_points
from flaxmark.errors import ConfigError, ImageError
from flaxmark.faces.markup import IBUG_68
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference.face import Face, make_faces
from flaxmark.inference.files.aligned_files import AlignedFiles
from flaxmark.inference.files.inputs import Input

MEAN = neutral_points()
BOX = np.array([10.0, 20, 110, 130])


@pytest.fixture(scope="module")
def upright() -> tuple[Image.Image, Face]:
    """A drawn face amid a larger image."""
    pixels, points = draw(7, 240)
    image = Image.new("RGB", (500, 500), (90, 120, 60))
    image.paste(Image.fromarray(pixels), (130, 130))
    return image, Face(points + 130, BOX, markup=IBUG_68, mean_face=MEAN)


def turned(image: Image.Image, face: Face, degrees: float) -> tuple[Image.Image, Face]:
    """The same, turned clockwise about the centre of the image."""
    angle, centre = np.radians(degrees), (np.array(image.size) - 1) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (face.landmarks - centre) @ turn.T + centre
    return image.rotate(-degrees, Image.Resampling.BICUBIC), dataclasses.replace(face, landmarks=points)


def test_a_face_is_printed_as_one_line() -> None:
    face = Face(np.zeros((68, 2)), BOX, 0.987, np.ones(68), markup=IBUG_68, mean_face=MEAN)
    assert repr(face) == str(face) == "Face(68 points, box 10, 20, 110, 130, score 0.99)"
    missing = np.where(np.arange(5)[:, None] < 2, np.nan, np.zeros((5, 2)))
    assert repr(Face(missing, BOX)) == "Face(5 points (2 of them missing), box 10, 20, 110, 130)"
    assert repr([face]) == f"[{face}]"


@pytest.mark.parametrize("degrees", [30, -75, 180])
def test_a_turned_face_gives_the_same_crop(upright: tuple[Image.Image, Face], degrees: float) -> None:
    image, face = upright
    expected = face.aligned(image, 128).astype(int)
    assert expected.shape == (128, 128, 3)
    crop = turned(image, face, degrees)
    found = crop[1].aligned(crop[0], 128)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).mean() < 2  # of two interpolations
    assert np.abs(face.aligned(crop[0], 128) - expected).mean() > 15


def test_the_eyes_are_level_and_the_matrix_maps_points(upright: tuple[Image.Image, Face]) -> None:
    face = turned(*upright, 30)[1]
    matrix = face.alignment(200)
    points = face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    left, right = (points[list(eye)].mean(axis=0) for eye in IBUG_68.eyes)
    assert abs(left[1] - right[1]) < 1
    np.testing.assert_allclose((left + right) / 2, (99.5, 79.5), atol=5)
    assert right[0] - left[0] == pytest.approx(56, abs=8)
    assert points.min() > 0
    assert points.max() < 200
    # The whole crop is twice as fine.
    np.testing.assert_allclose(face.alignment(400)[:, :2], 2 * matrix[:, :2])
    # A pixel of the image is where the matrix says.
    marked = np.zeros((500, 500, 3), np.uint8)
    x, y = face.landmarks[30].round().astype(int)
    marked[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = face.aligned(marked, 200)[..., 0].astype(float)
    rows, columns = np.mgrid[:200, :200]
    centre = (crop * columns).sum() / crop.sum(), (crop * rows).sum() / crop.sum()
    np.testing.assert_allclose(centre, matrix[:, :2] @ (x, y) + matrix[:, 2], atol=0.05)


def test_every_markup_with_a_mean_face_is_aligned(upright: tuple[Image.Image, Face]) -> None:
    image, face = upright

    def five(points: np.ndarray) -> np.ndarray:
        return np.array([points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30], points[48], points[54]])

    other = Face(five(face.landmarks), BOX, markup=FIVE_POINTS, mean_face=five(MEAN))
    assert np.abs(other.aligned(image, 64).astype(int) - face.aligned(image, 64)).mean() < 12
    np.testing.assert_array_equal(Face(face.landmarks, BOX).aligned(image, 64), face.aligned(image, 64))  # MEAN
    without = dataclasses.replace(face, landmarks=np.where(np.arange(68)[:, None] == 8, np.nan, face.landmarks))
    np.testing.assert_allclose(without.alignment(64), face.alignment(64), atol=0.5)


def test_what_cannot_be_aligned_is_named(upright: tuple[Image.Image, Face]) -> None:
    image, face = upright
    for broken, field in (
        (Face(face.landmarks[:4], BOX), "markup"),
        (Face(face.landmarks, BOX, markup=dataclasses.replace(IBUG_68, name="own")), "mean_face"),
        (dataclasses.replace(face, landmarks=np.full((68, 2), np.nan)), "landmarks"),
    ):
        with pytest.raises(ConfigError) as caught:
            broken.aligned(image)
        assert caught.value.field == field
    for size in (0, 15, 2049, 256.5):
        with pytest.raises(ConfigError) as caught:
            face.aligned(image, size)  # type: ignore[arg-type]
        assert caught.value.field == "size"
    with pytest.raises(ImageError):
        face.aligned("no.png")
    far = dataclasses.replace(face, landmarks=face.landmarks + 9000)
    assert far.aligned(image, 32).max() == 0


def test_predicted_faces_can_be_aligned() -> None:
    image, points = draw(11, 160)
    outputs = {"landmarks": points[None].astype(np.float32) / 160}
    (face,) = make_faces(outputs, np.array([[0.0, 0, 160]]), BOX[None], [None], IBUG_68, MEAN)
    assert face.aligned(image).shape == (256, 256, 3)


def inputs_in(folder: Path, *names: str) -> list[Input]:
    return [Input(folder / name, name) for name in names]


def test_each_face_has_a_file_of_its_own(upright: tuple[Image.Image, Face], tmp_path: Path) -> None:
    image, face = upright
    pixels = np.asarray(image)
    inputs = inputs_in(tmp_path, "a.jpg", "a.png", "a_face1.png", "sub/b.webp")
    files = AlignedFiles(inputs, str(tmp_path / "out"), 48, False)
    for item in inputs:
        files.write(item, pixels, [face, face])
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert names == sorted(
        f"{stem}_face{number}{suffix}"
        for stem, suffix in (("a", ".jpg"), ("a", ".png"), ("a_face1", ".png"), ("sub/b", ".png"))
        for number in (1, 2)
    )
    assert files.count == 8
    with Image.open(tmp_path / "out" / "a_face2.png") as written:
        np.testing.assert_array_equal(np.asarray(written), face.aligned(image, 48))
    with pytest.raises(ConfigError) as again:
        AlignedFiles(inputs, str(tmp_path / "out"), 48, False)
    assert again.value.file == tmp_path / "out" / "a_face1.jpg"
    with pytest.raises(ConfigError) as late:
        files.write(inputs[0], pixels, [face])
    assert late.value.field == "aligned"
    AlignedFiles(inputs, str(tmp_path / "out"), 48, True).write(inputs[0], pixels, [face])
    live = inputs_in(tmp_path, "a.JPG", "a.MOV")
    AlignedFiles(live, str(tmp_path / "live"), 48, False).write(live[0], pixels, [face])
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["a_face1.jpg"]
    (tmp_path / "a_face1.png").touch()
    with pytest.raises(ConfigError) as source:
        AlignedFiles(inputs, str(tmp_path), 48, True)
    assert source.value.file == tmp_path / "a_face1.png"
    for names, size, field in (
        (["a.png", "a.webp"], 48, None),  # two with one name
        (["a.mp4"], 48, "aligned"),
        (["c.png"], 8, "aligned_size"),
    ):
        with pytest.raises(ConfigError) as caught:
            AlignedFiles(inputs_in(tmp_path, *names), str(tmp_path / "other"), size, False)
        assert caught.value.field == field
    assert not (tmp_path / "other").exists()


def test_the_command_writes_crops_and_drawings(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(draw(7, 160)[0]).save(tmp_path / "in" / "a.jpg", quality=95)
    Image.fromarray(draw(8, 160)[0]).save(tmp_path / "in" / "b.png")
    flags = [
        "--aligned",
        str(tmp_path / "cut"),
        "--aligned-size",
        "64",
        "--draw",
        str(tmp_path / "drawn"),
        "--draw-sigma",
        "--draw-pose",
    ]
    predict.main([str(tmp_path / "in"), "--crop", *flags])
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == ["a_face1.jpg", "b_face1.png"]
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.jpg", "b.png"]
    for path in (tmp_path / "cut").iterdir():
        with Image.open(path) as image:
            assert image.size == (64, 64)
    for lonely in ("draw_sigma", "draw_pose"):  # nothing is drawn
        with pytest.raises(ConfigError) as caught:
            predict.main([str(tmp_path / "in" / "b.png"), "--crop", f"--{lonely.replace('_', '-')}"])
        assert caught.value.field == lonely
    before = (tmp_path / "cut" / "b_face1.png").read_bytes()
    with pytest.raises(ConfigError) as caught:
        predict.main([str(tmp_path / "in" / "b.png"), "--crop", "--aligned", str(tmp_path / "cut")])
    assert (caught.value.field, caught.value.file) == ("aligned", tmp_path / "cut" / "b_face1.png")
    assert (tmp_path / "cut" / "b_face1.png").read_bytes() == before
