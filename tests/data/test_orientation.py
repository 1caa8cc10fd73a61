"""Images with an EXIF orientation: points in viewer space and in stored space, told apart and mixed up."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.images import draw, encode
from PIL import Image

from flaxmark.data import entries
from flaxmark.data.annotated_images import TO_VIEWER, check_orientation, read_annotated
from flaxmark.data.config import DataConfig
from flaxmark.data.entries import FaceEntry
from flaxmark.data.images import read_image
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import DataError
from flaxmark.evaluation.audit.audit import audit
from flaxmark.faces.crop import landmark_box, to_pixels
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.face import Face
from flaxmark.inference.files.inputs import find_inputs
from flaxmark.inference.files.partial import PartialResults
from flaxmark.inference.files.predict_all import predict_images
from flaxmark.inference.files.writers import make_writer
from flaxmark.system.progress import Progress

WIDTH, HEIGHT = 300, 180
# From the image as viewers show it to the stored one.
STORE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def shown(seed: int) -> tuple[Image.Image, np.ndarray]:
    """A face on the right of a wide image, as viewers show it, and its points."""
    pixels, points = draw(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 150))
    image.paste(Image.fromarray(pixels), (160, 30))
    return image, points + np.array([160, 30])


def save(path: Path, image: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(STORE[orientation]) if orientation > 1 else image
    form = {".jpg": "JPEG", ".tif": "TIFF"}.get(path.suffix, path.suffix[1:].upper())
    path.write_bytes(encode(stored, form, exif=exif, **({"quality": 95} if form in ("JPEG", "WEBP") else {})))


def to_stored(points: np.ndarray, orientation: int) -> np.ndarray:
    """Points of the image as viewers show it, in pixels of the stored image."""
    if orientation == 1:
        return points
    middle = (np.array([WIDTH, HEIGHT]) - 1) / 2
    stored_middle = middle[::-1] if orientation >= 5 else middle
    return (points - middle) @ np.array(TO_VIEWER[orientation]) + stored_middle


def write_set(folder: Path, orientation: int, stored: bool, count: int = 4) -> dict[str, np.ndarray]:
    """Faces in COCO files without sizes and in .pts files; file -> points as written."""
    folder.mkdir(parents=True)
    written = {}
    for seed in range(count):
        image, points = shown(seed)
        save(folder / f"{seed}.png", image, orientation)
        if stored:
            points = to_stored(points, orientation)
            # Whoever sees a mirrored face names its points from the left, too.
            mirrored = np.linalg.det(np.array(TO_VIEWER[orientation])) < 0 if orientation > 1 else False
            points = points[list(IBUG_68.flip_order or ())] if mirrored else points
        written[f"{seed}.png"] = points
        (folder / f"{seed}.pts").write_text("\n".join(f"{x + 1:.4f} {y + 1:.4f}" for x, y in points))
    return written


def test_the_matrices_are_those_of_the_orientations() -> None:
    points = shown(0)[1]
    for orientation, matrix in TO_VIEWER.items():
        assert abs(round(float(np.linalg.det(np.array(matrix))))) == 1
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
        x, y = (int(value) for value in points[30])
        pixels[y, x] = 255
        stored = np.asarray(Image.fromarray(pixels).transpose(STORE[orientation]))
        row, column = np.argwhere(stored)[0]
        expected = to_stored(np.array([[x, y]], float), orientation)[0]
        assert expected.tolist() == [column, row]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("form", "suffix"), [("coco", ".jpg"), ("csv", ".png"), ("pts", ".webp"), ("coco", ".tif")])
def test_what_predict_writes_is_read_back_as_training_data(
    tmp_path: Path, form: str, suffix: str, orientation: int
) -> None:
    """The points, and the pixels around them, are those of the image without an orientation."""
    folder = tmp_path / "set"
    folder.mkdir()
    faces = {}
    for seed in (0, 1):
        image, points = shown(seed)
        save(folder / f"{seed}{suffix}", image, orientation)
        faces[f"{seed}{suffix}"] = points, np.asarray(image)

    class Finder:
        max_megapixels = 64.0
        left_out = 0

        def predict_many(self, images: Iterator[np.ndarray], boxes: object) -> Iterator[list[Face]]:
            for pixels, (points, expected) in zip(images, faces.values(), strict=True):
                assert pixels.shape == expected.shape
                yield [Face(points, landmark_box(points))]

    out = folder / {"coco": "found.json", "csv": "found.csv", "pts": ""}[form]
    writer = make_writer(form, PartialResults(form, out), IBUG_68, "free")  # type: ignore[arg-type]
    predict_images(find_inputs([str(folder)]), Finder(), None, writer, {})  # type: ignore[arg-type]
    writer.close()
    config = DataConfig(form, dir=str(folder), prepared_dir=str(tmp_path / "prepared"))
    listing = read_listing(config, folder)
    assert not [problem for problem in listing.problems if not problem.known]
    assert [entry.file for entry in listing.entries] == list(faces)
    prepared = prepare(config, for_training=False)
    assert sum(prepared.counts.values()) == 2
    for entry in listing.entries:
        points, expected = faces[entry.file]
        np.testing.assert_allclose(entry.landmarks_px, points, atol=2e-3)
        pixels = read_annotated(folder, entry, 64.0)
        assert np.abs(pixels.astype(float) - expected).mean() < 4
    for split in prepared.counts:
        examples = load_split(prepared, split)
        for i, file in enumerate(examples.files):
            pixels = to_pixels(examples.landmarks[i], examples.source_crops[i])
            np.testing.assert_allclose(pixels, faces[file][0], atol=3e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_data_in_stored_space_needs_the_flag(tmp_path: Path, orientation: int) -> None:
    written = write_set(tmp_path / "set", orientation, stored=True)
    config = DataConfig("pts", dir=str(tmp_path / "set"), orientation="stored", prepared_dir=str(tmp_path / "prepared"))
    prepared = prepare(config, for_training=False)
    for split in prepared.counts:
        examples = load_split(prepared, split)
        for i, file in enumerate(examples.files):
            pixels = to_pixels(examples.landmarks[i], examples.source_crops[i])
            np.testing.assert_allclose(pixels, written[file], atol=1e-3)
    for entry in read_listing(config, tmp_path / "set").entries:
        with Image.open(tmp_path / "set" / entry.file) as image:
            assert np.array_equal(read_annotated(tmp_path / "set", entry, 64.0), np.asarray(image))


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [*((orientation, True) for orientation in range(3, 9)), *((orientation, False) for orientation in range(5, 9))],
)
def test_a_mix_up_names_the_flag(tmp_path: Path, orientation: int, stored: bool) -> None:
    """Faces at the side of the image are outside in the other space; stored ones lie on their side or on their head."""
    write_set(tmp_path / "set", orientation, stored)
    listing = read_listing(DataConfig("pts", orientation="viewer" if stored else "stored"), tmp_path / "set")
    with pytest.raises(DataError) as caught:
        check_orientation(listing.entries, tmp_path / "set", IBUG_68)
    assert caught.value.field == "data.orientation"
    assert f"--data.orientation {'stored' if stored else 'viewer'}" in caught.value.reason
    right = read_listing(DataConfig("pts", orientation="stored" if stored else "viewer"), tmp_path / "set")
    check_orientation(right.entries, tmp_path / "set", IBUG_68)


def test_preparing_and_the_audit_name_a_mix_up(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 6, stored=True)
    config = DataConfig("pts", dir=str(tmp_path / "set"), prepared_dir=str(tmp_path / "prepared"))
    for look in (prepare, lambda config: audit(config, tmp_path / "set", lambda total: Progress(total, 0, 1))):
        with pytest.raises(DataError) as caught:
            look(config)
        assert caught.value.field == "data.orientation"


def test_upright_faces_of_people_who_lie_down_are_no_mix_up(tmp_path: Path) -> None:
    """Two of five turned images have a face on its side: the others decide."""
    write_set(tmp_path / "s", 3, stored=False, count=5)
    listing = read_listing(DataConfig("pts"), tmp_path / "s")
    faces = [entry.landmarks_px for entry in listing.entries]
    middle = faces[0].mean(axis=0)
    faces[:2] = [2 * middle - face for face in faces[:2]]
    lying = [
        FaceEntry(e.file, face, None, "s", e.file, "train") for e, face in zip(listing.entries, faces, strict=True)
    ]
    check_orientation(lying, tmp_path / "s", IBUG_68)


def test_a_size_that_is_the_same_in_both_orientations_decides_nothing(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 3, stored=True)
    listing = read_listing(DataConfig("pts"), tmp_path / "set")
    sized = [dataclasses.replace(entry, size=(WIDTH, HEIGHT)) for entry in listing.entries]
    with pytest.raises(DataError) as caught:
        check_orientation(sized, tmp_path / "set", IBUG_68)
    assert caught.value.field == "data.orientation"
    check_orientation([dataclasses.replace(entry, oriented=False) for entry in sized], tmp_path / "set", IBUG_68)


@pytest.mark.parametrize("stored", [True, False])
def test_the_size_in_a_coco_file_decides(tmp_path: Path, stored: bool) -> None:
    folder = tmp_path / "set"
    written = write_set(folder, 6, stored)
    size = (HEIGHT, WIDTH) if stored else (WIDTH, HEIGHT)
    content = {
        "images": [{"id": file, "file_name": file, "width": size[0], "height": size[1]} for file in written],
        "annotations": [
            {"image_id": file, "keypoints": [v for x, y in points.tolist() for v in (x, y, 2)]}
            for file, points in written.items()
        ],
    }
    (folder / "faces.json").write_text(json.dumps(content))
    config = DataConfig("coco", dir=str(folder), prepared_dir=str(tmp_path / "prepared"))
    for entry in read_listing(config, folder).entries:
        expected = read_image(folder / entry.file, orient=not stored)
        assert np.array_equal(read_annotated(folder, entry, 64.0), expected)
    assert sum(prepare(config, for_training=False).counts.values()) == 4
    content["images"][0] |= {"width": 900, "height": 540}  # as if the image had been shrunk since
    (folder / "faces.json").write_text(json.dumps(content))
    assert prepare(config, for_training=False).problem_counts() == {entries.OTHER_SIZE: 1}
    forced = DataConfig("coco", dir=str(folder), orientation="viewer", prepared_dir=config.prepared_dir)
    assert entries.OTHER_SIZE not in prepare(forced, for_training=False).problem_counts()
