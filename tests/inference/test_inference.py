import functools
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.quick import quick_jit
from PIL import Image

import flaxmark
from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.drawn import draw_face
from flaxmark.errors import CheckpointError, ConfigError, DetectorError, FlaxmarkError, ImageError
from flaxmark.evaluation.metrics import nme
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.detection import BoxCorrection
from flaxmark.models.model import make_model
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import to_dict
from flaxmark.storage.checkpoint import RunCheckpoints
from flaxmark.training.train_state import init_train_state

MEAN_FACE = np.random.default_rng(0).uniform(0.3, 0.7, (68, 2)).astype(np.float32)
CONFIG = Config(data=DataConfig(image_size=64), model=ResNetConfig(depth=18, head_init_scale=0.5))


@functools.cache
def make_random() -> Callable[[jax.Array], Any]:
    model = make_model(CONFIG.model)
    return quick_jit(lambda key: init_train_state(key, model, optax.sgd(0.1), MEAN_FACE, False))


def save_random(path: Path, step: int, loss: float) -> None:
    metadata = {"config": to_dict(CONFIG), "terms": "free", "mean_face": MEAN_FACE.tolist()}
    with RunCheckpoints(path) as checkpoints:
        checkpoints.save(
            make_random()(jax.random.key(step - 1)).replace(step=jnp.int32(step)), metadata, {"loss": loss}
        )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Workdir of a run with random weights: its predictions depend on the image."""
    path = tmp_path_factory.mktemp("random")
    save_random(path, step=1, loss=1.0)
    return path


@pytest.fixture(scope="module")
def predictor(workdir: Path) -> flaxmark.Predictor:
    return flaxmark.Predictor(workdir)


@functools.cache
def drawn(count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    faces = [draw_face(seed, 150) for seed in range(count)]
    return [image for image, _ in faces], [landmark_box(points) for _, points in faces]


def test_batched_equals_single_and_keeps_the_order(predictor: flaxmark.Predictor) -> None:
    images, boxes = drawn(40)
    many = list(predictor.predict_many(iter(images), boxes))
    assert [len(faces) for faces in many] == [1] * 40
    for image, box, faces in zip(images, boxes, many, strict=True):
        single = predictor.predict(image, box)[0]
        side = 1.5 * max(box[2] - box[0], box[3] - box[1])
        np.testing.assert_allclose(faces[0].landmarks, single.landmarks, atol=1e-5 * side)
        np.testing.assert_array_equal(faces[0].box, box)
        assert (single.score, single.sigma) == (None, None)
    assert len({round(float(faces[0].landmarks[0, 0]), 3) for faces in many}) > 20


def test_several_boxes_none_and_generators(predictor: flaxmark.Predictor) -> None:
    images, boxes = drawn(3)
    shifted = boxes[0] + [5, 0, 5, 0]
    two = predictor.predict(images[0], [boxes[0], shifted])
    assert np.abs(two[0].landmarks - two[1].landmarks).max() > 0.5
    assert predictor.predict(images[0], []) == []
    mixed = list(predictor.predict_many(images, ([box] * n for n, box in zip((2, 0, 1), boxes, strict=True))))
    assert [len(faces) for faces in mixed] == [2, 0, 1]
    assert list(predictor.predict_many([])) == []


def test_the_function_keeps_the_model(workdir: Path) -> None:
    images, boxes = drawn(1)
    face = flaxmark.predict(images[0], boxes[0], checkpoint=workdir)[0]
    again = next(flaxmark.predict_many(images, boxes, checkpoint=workdir))[0]
    np.testing.assert_array_equal(face.landmarks, again.landmarks)
    assert isinstance(face, flaxmark.Face)


def test_an_image_that_is_the_crop(predictor: flaxmark.Predictor) -> None:
    image = drawn(1)[0][0]
    face = predictor.predict(image, "image")[0]
    # The crop of a box b is 1.5 b: the box that gives the whole image is 100 px wide and centred.
    same = predictor.predict(image, [24.5, 24.5, 124.5, 124.5])[0]
    np.testing.assert_allclose(face.landmarks, same.landmarks, atol=1e-3)


def test_a_detector_finds_the_faces(workdir: Path, predictor: flaxmark.Predictor) -> None:
    """A detector may be any function; its boxes are corrected, the largest face is first, low scores are dropped."""
    image, box = drawn(1)[0][0], drawn(1)[1][0]
    left, top, right, bottom = box
    small = [left, top, left + 20, top + 20]
    found = [[*small, 0.9], [*box, 0.8], [0, 0, 149, 149, 0.3], [-90, -90, -50, -50, 0.9]]
    correction = BoxCorrection(0.0, 0.1, 0.5)
    own = flaxmark.Predictor(workdir, detector=lambda _: found, correction=correction, orientations="upright")
    large, second = own.predict(image)
    side = max(right - left, bottom - top)
    middle = np.array([(left + right) / 2, (top + bottom) / 2 + 0.1 * side])
    np.testing.assert_allclose(large.box, [*(middle - side / 4), *(middle + side / 4)])
    assert (large.score, second.score) == (0.8, 0.9)
    np.testing.assert_allclose(large.landmarks, predictor.predict(image, large.box)[0].landmarks, atol=1e-3)
    nobody = flaxmark.Predictor(workdir, detector=lambda _: [])
    assert nobody.predict(image) == []
    assert list(nobody.predict_many([image] * 3)) == [[], [], []]
    assert flaxmark.predict(image, checkpoint=workdir, detector=lambda _: [[*box]])[0].score is None
    unsure = flaxmark.Predictor(
        workdir, detector=lambda _: found, min_detector_score=0.2, min_score=0.85, orientations="upright"
    )
    assert [face.score for face in unsure.predict(image)] == [0.9]
    assert unsure.left_out == 2
    assert len(unsure.predict(image, [box, small])) == 2  # one face for each box that is given


def test_wrong_arguments_are_named(workdir: Path) -> None:
    image, box = drawn(1)[0][0], drawn(1)[1][0]
    for name, value in (("min_score", 2), ("min_detector_score", -1), ("max_megapixels", -1)):
        with pytest.raises(ConfigError) as caught:
            flaxmark.Predictor(workdir, **{name: value})
        assert (caught.value.field, caught.value.value) == (name, value)
    with pytest.raises(ConfigError) as caught:
        flaxmark.predict(image, box, checkpoint=workdir, detector=lambda _: [box])
    assert caught.value.field == "boxes"
    with pytest.raises(DetectorError) as broken:
        flaxmark.Predictor(workdir, detector=lambda _: "here").predict(image)
    assert broken.value.field == "detector"
    with pytest.raises(CheckpointError) as missing:
        flaxmark.Predictor(workdir / "none.safetensors")
    assert missing.value.file == workdir / "none.safetensors"


def test_images_without_faces_are_given_out_in_time(workdir: Path) -> None:
    nobody = flaxmark.Predictor(workdir, detector=lambda _: [])
    asked = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:
            asked += 1
            yield drawn(1)[0][0]

    results = nobody.predict_many(endless())
    assert [next(results) for _ in range(5)] == [[]] * 5
    assert asked <= 32


def test_a_face_and_its_mirror_image_agree_with_flip(workdir: Path) -> None:
    """With flip, a mirrored image gives the mirrored landmarks."""
    image, box = drawn(1)[0][0], drawn(1)[1][0]
    twice = flaxmark.Predictor(workdir, flip=True)
    seen = twice.predict(image, box)[0].landmarks
    mirrored = twice.predict(image[:, ::-1], [149 - box[2], box[1], 149 - box[0], box[3]])[0].landmarks
    expected = (mirrored * [-1, 1] + [149, 0])[list(IBUG_68.flip_order or ())]
    np.testing.assert_allclose(seen, expected, atol=2e-3)
    once = flaxmark.Predictor(workdir).predict(image, box)[0].landmarks
    assert np.abs(once - seen).max() > 0.1


def encoded(pixels: np.ndarray, kind: str) -> bytes | Image.Image | np.ndarray:
    image = Image.fromarray(pixels)
    if kind == "pil":
        return image
    if kind == "rgba":
        return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    stream = io.BytesIO()
    if kind == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6  # stored rotated by 90 degrees; viewers rotate it back
        image.transpose(Image.Transpose.ROTATE_90).save(stream, "PNG", exif=exif)
    else:
        image.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["pil", "rgba", "png", "exif"])
def test_every_form_of_an_image_gives_the_same(predictor: flaxmark.Predictor, kind: str) -> None:
    images, boxes = drawn(1)
    expected = predictor.predict(images[0], boxes[0])[0]
    face = predictor.predict(encoded(images[0], kind), boxes[0])[0]
    np.testing.assert_allclose(face.landmarks, expected.landmarks, atol=1e-4)


def test_grey_and_16_bit_agree(predictor: flaxmark.Predictor) -> None:
    grey = np.asarray(Image.fromarray(drawn(1)[0][0]).convert("L"))
    box = drawn(1)[1][0]
    expected = predictor.predict(np.repeat(grey[..., None], 3, axis=2), box)[0]
    for form in (grey, Image.fromarray(grey.astype(np.uint16) * 257)):
        np.testing.assert_allclose(predictor.predict(form, box)[0].landmarks, expected.landmarks, atol=1e-2)


# Another word, no boxes, empty, outside of the image, much larger than it, fractions instead of pixels, tiny.
BAD_BOXES = (
    "picture", [1, 2, 3], [[1, 2, 3, np.nan]], [["a", "b", "c", "d"]], [30, 30, 20, 40], [500, 500, 600, 600],
    [100, 100, 9000, 9000], [0.2, 0.3, 0.7, 0.8], [30, 30, 33, 32],
)  # fmt: skip


@pytest.mark.parametrize("boxes", BAD_BOXES)
def test_bad_boxes_are_one_clear_line(predictor: flaxmark.Predictor, boxes: object) -> None:
    with pytest.raises(ConfigError) as caught:
        predictor.predict(drawn(1)[0][0], boxes)  # type: ignore[arg-type]
    assert caught.value.field == "boxes"
    assert "\n" not in str(caught.value)


def test_too_few_and_too_many_boxes_are_noticed(predictor: flaxmark.Predictor) -> None:
    images, boxes = drawn(3)
    for given, too_few_or_many in ((images, boxes[:2]), (images[:2], boxes)):
        with pytest.raises(ConfigError) as caught:
            list(predictor.predict_many(given, too_few_or_many))
        assert caught.value.field == "boxes"
    assert len(list(predictor.predict_many(images[:2], iter(boxes)))) == 2


def test_the_images_before_a_bad_one_are_done(predictor: flaxmark.Predictor) -> None:
    images, boxes = drawn(2)
    results = predictor.predict_many([*images, b"no image"], [*boxes, boxes[0]])
    assert [len(next(results)) for _ in images] == [1, 1]
    with pytest.raises(ImageError):
        next(results)


def test_a_bad_image_can_be_skipped(predictor: flaxmark.Predictor, tmp_path: Path) -> None:
    images, boxes = drawn(2)
    broken: list[FlaxmarkError] = []
    given = [images[0], tmp_path / "none.jpg", images[1]]
    found = predictor.predict_many(given, [boxes[0], boxes[0], boxes[1]], broken.append)
    assert [len(faces) for faces in found] == [1, 0, 1]
    assert [error.file for error in broken] == [tmp_path / "none.jpg"]


def test_a_run_that_went_on_is_loaded_again(workdir: Path, tmp_path: Path) -> None:
    """predict keeps a model only as long as its checkpoints are the same."""
    image, box = drawn(1)[0][0], drawn(1)[1][0]
    run = shutil.copytree(workdir, tmp_path / "run")
    first = flaxmark.predict(image, box, checkpoint=run)[0].landmarks
    save_random(run, step=2, loss=0.5)
    second = flaxmark.predict(image, box, checkpoint=run)[0].landmarks
    assert np.abs(first - second).max() > 1


def test_the_public_names_are_listed() -> None:
    assert {"Face", "Predictor", "predict", "predict_many"} <= set(dir(flaxmark))


@pytest.mark.parametrize("images", ["photo.jpg", b"bytes", np.zeros((9, 9, 3), np.uint8)])
def test_one_image_is_not_a_list_of_them(predictor: flaxmark.Predictor, images: object) -> None:
    with pytest.raises(ConfigError) as caught:
        next(predictor.predict_many(images, "image"))  # type: ignore[arg-type]
    assert caught.value.field == "images"


@pytest.mark.parametrize("image", [None, 3, "x" * 5000])
def test_things_that_are_not_images(predictor: flaxmark.Predictor, image: object) -> None:
    with pytest.raises(ImageError):
        predictor.predict(image, "image")  # type: ignore[arg-type]


@pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="FLAXMARK_DATA is not set")
def test_stored_crops_and_original_images_agree(predictor: flaxmark.Predictor) -> None:
    from flaxmark.data.images import read_image
    from flaxmark.data.input.feed import crops_of
    from flaxmark.data.prepare.prepare import load_split, prepare
    from flaxmark.faces.crop import to_pixels

    folder = Path(os.environ["FLAXMARK_DATA"], "originals")
    examples = load_split(prepare(DataConfig(dir=str(folder), image_size=64)), "train")
    images = crops_of(examples, range(len(examples)), CONFIG.data, 64)
    stored = predictor.network.run_images(images)["landmarks"]
    differences = []
    for file, box, crop, points, truth in zip(
        examples.files, examples.boxes, examples.source_crops, stored, examples.landmarks, strict=True
    ):
        face = predictor.predict(read_image(folder / file), box)[0]
        differences.append(nme(face.landmarks, to_pixels(points, crop)))
        assert np.isfinite(truth).all()
    assert len(differences) >= 10
    assert max(differences) < 0.3  # percent of the inter-ocular distance
