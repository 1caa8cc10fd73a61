"""From the network's outputs to fields of Face, and from those to files."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference import face
from flaxmark.inference.face import Face, Output, in_pixels, make_faces, mean_with_mirrored, output
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.files.partial import PartialResults
from flaxmark.inference.files.writers import make_writer
from flaxmark.inference.network import outputs_of_prediction
from flaxmark.models.heads import Prediction


@pytest.fixture(autouse=True)
def one_more_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """A length per face."""
    monkeypatch.setitem(face.OUTPUTS, "width", Output(per_point=False, unit="length"))


CORNER, SIDE = np.array([[[10.0, 20.0]], [[0.0, 0.0]]]), np.array([[[100.0]], [[50.0]]])


def test_outputs_have_the_names_of_fields() -> None:
    points, log_sigma = jnp.zeros((1, 3, 2)), jnp.log(jnp.array([[0.1, 0.2, 0.3]]))
    logit = jnp.log(jnp.array([[1, 3, 1 / 9]]))
    outputs = outputs_of_prediction(Prediction(points, log_sigma, logit))
    assert set(outputs) == {"landmarks", "sigma", "visible"}
    np.testing.assert_allclose(outputs["sigma"], [[0.1, 0.2, 0.3]], rtol=1e-5)
    np.testing.assert_allclose(outputs["visible"], [[0.5, 0.75, 0.1]], rtol=1e-5)
    assert set(outputs_of_prediction(Prediction(points))) == {"landmarks"}


def test_what_training_alone_needs_is_no_output_and_further_fields_are() -> None:
    @flax.struct.dataclass
    class WithWidth(Prediction):
        """A prediction of a further output."""

        width: Any = None

    points = jnp.zeros((1, 68, 2))
    found = outputs_of_prediction(WithWidth(points, earlier=(Prediction(points),), width=jnp.ones(1)))
    assert set(found) == {"landmarks", "width"}


@pytest.mark.parametrize("library", [np, jnp])
def test_crop_units_become_pixels(library: object) -> None:
    array = library.asarray  # type: ignore[attr-defined]
    corner, side = array(CORNER), array(SIDE)
    points = in_pixels("landmarks", array(np.full((2, 5, 2), 0.5)), corner, side)
    assert np.asarray(points)[:, 0].tolist() == [[59.5, 69.5], [24.5, 24.5]]
    lengths = in_pixels("sigma", array(np.full((2, 5), 0.1)), corner, side)
    np.testing.assert_allclose(lengths, np.repeat([[10.0], [5.0]], 5, axis=1))
    np.testing.assert_allclose(in_pixels("width", array(np.full(2, 0.1)), corner, side), [10, 5])
    np.testing.assert_array_equal(in_pixels("visible", array(np.eye(2, 5)), corner, side), np.eye(2, 5))


def test_mirrored_outputs_are_averaged_by_point() -> None:
    order = list(FIVE_POINTS.flip_order or ())
    rng = np.random.default_rng(0)
    seen = {"landmarks": rng.uniform(size=(3, 5, 2)), "visible": rng.uniform(size=(3, 5)), "width": rng.uniform(size=3)}
    mirrored = {
        "landmarks": seen["landmarks"][:, order] * [-1, 1] + [1, 0],
        "visible": seen["visible"][:, order],
        "width": seen["width"],
    }
    for name, values in mean_with_mirrored(seen, mirrored, FIVE_POINTS).items():
        np.testing.assert_allclose(values, seen[name])


def test_the_network_has_the_last_word_on_the_score() -> None:
    outputs = {"landmarks": np.zeros((2, 5, 2), np.float32)}
    crops, boxes = np.array([[10.0, 20, 100], [0, 0, 50]]), np.zeros((2, 4))
    first, second = make_faces(outputs, crops, boxes, [0.75, None])
    assert (first.score, second.score, first.sigma) == (0.75, None, None)
    assert first.landmarks.dtype == np.float64
    scored = make_faces(outputs | {"score": np.array([0.25, 0.5])}, crops, boxes, [0.75, None])
    assert [face.score for face in scored] == [0.25, 0.5]
    assert make_faces({}, crops[:0], boxes[:0], []) == []


@dataclasses.dataclass(frozen=True, eq=False)
class SeenFace(Face):
    """A face with two more outputs: one per face and one per point."""

    glasses: float | None = output(per_point=False, digits=2, columns=("glasses",), in_coco=True, default=None)
    closed: np.ndarray | None = output(per_point=True, digits=1, columns=("closed{}",), default=None)


def test_an_output_is_one_field_of_face(tmp_path: Path) -> None:
    points, box = np.arange(10.0).reshape(5, 2), np.array([0.0, 1, 8, 9])
    seen = SeenFace(points, box, 0.5, glasses=0.256, closed=np.linspace(0, 1, 5))  # on a line: without a pose
    faces = [seen, SeenFace(points, box)]
    for form in ("jsonl", "csv", "coco"):
        writer = make_writer(form, PartialResults(form, tmp_path / form), FIVE_POINTS, "free")
        writer.write(Input(Path("a.png"), "a.png"), (10, 10), faces, {})
        writer.close()
    first, second = json.loads((tmp_path / "jsonl").read_text())["faces"]
    assert list(first) == ["box", "landmarks", "score", "glasses", "closed"]
    assert (first["glasses"], first["closed"]) == (0.26, [0, 0.2, 0.5, 0.8, 1])
    assert list(second) == ["box", "landmarks"]
    with (tmp_path / "csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    places = [f"{axis}{point}" for point in range(5) for axis in "xy"]
    head = ["file", "frame", "face", "left", "top", "right", "bottom", "score", "glasses", "yaw", "pitch", "roll"]
    assert list(rows[0]) == [*head, *places, *(f"closed{point}" for point in range(5))]
    assert (rows[0]["glasses"], rows[0]["closed3"], rows[1]["glasses"], rows[1]["closed3"]) == ("0.26", "0.8", "", "")
    annotations = json.loads((tmp_path / "coco").read_text())["annotations"]
    assert [annotation.get("glasses") for annotation in annotations] == [0.26, None]
    assert "closed" not in annotations[0]


def test_a_face_is_ready_for_json() -> None:
    found = Face(np.array([[1.23456, 2.0]] * 5), np.array([0, 0, 9.87654, 9.0]), np.float64(0.5))
    again = json.loads(json.dumps(found.to_dict()))
    assert again == {"box": [0, 0, 9.877, 9], "landmarks": [[1.235, 2]] * 5, "score": 0.5}
    seen = dataclasses.replace(found, visible=np.full(5, 0.987)).to_dict()
    assert seen == again | {"visible": [0.987] * 5}
