import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from helpers.commands import command_main
from helpers.quick import quick_jit
from hypothesis import given
from hypothesis import strategies as st

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.records.examples import Examples
from flaxmark.errors import CheckpointError
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference.network import Network
from flaxmark.models.model import make_model
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import to_dict
from flaxmark.storage.packed import load_packed, pack, quantize

CONFIG = Config(data=DataConfig(markup=FIVE_POINTS, image_size=64), model=ResNetConfig(depth=18))
FLAT = dataclasses.replace(CONFIG.data, pixel_std=(1.0, 0.0, 1.0))
HUGE = dataclasses.replace(CONFIG.data, image_size=10**9)
METADATA = json.loads(json.dumps({"config": to_dict(CONFIG), "terms": "free"}))


@pytest.fixture(scope="module")
def folded() -> dict:
    model = make_model(CONFIG.model, 5)
    variables = quick_jit(model.init)(jax.random.key(0), np.full((5, 2), 0.5, np.float32))
    return dict(model.fold(variables))


@given(st.lists(st.integers(-10000, 10000).map(lambda value: value / 64), min_size=6, max_size=6))
def test_a_step_is_a_127th_of_the_largest_weight_of_its_channel(values: list[float]) -> None:
    kernel = np.array(values, np.float32).reshape(3, 2)
    integers, scale = quantize(kernel)
    assert integers.dtype == np.int8
    np.testing.assert_allclose(scale * 127, np.abs(kernel).max(axis=0), rtol=1e-5)
    assert (np.abs(integers * scale - kernel) <= scale * 0.5001 + 1e-30).all()


def test_a_packed_network_is_the_same_network(folded: dict, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    pack(folded, METADATA, path)
    assert path.stat().st_size < 11.3e6  # a byte a weight
    variables, metadata = load_packed(path)
    assert metadata == METADATA
    assert jax.tree.structure(variables) == jax.tree.structure(folded)
    for ours, stored in zip(jax.tree.leaves(variables), jax.tree.leaves(folded), strict=True):
        np.testing.assert_allclose(ours, stored, atol=float(np.abs(stored).max()) / 250)
    network = Network(path)
    crops = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    assert network.run_images(crops)["landmarks"].shape == (2, 5, 2)
    assert network.markup == FIVE_POINTS


def test_packing_measures_a_few_crops_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = np.random.default_rng(0).uniform(0, 1, (70, 5, 2)).astype(np.float32)
    seen: list[int] = []

    def run(crops: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(len(crops))
        return {"landmarks": truth[crops[:, 0, 0, 0].astype(int)]}

    network = SimpleNamespace(
        variables={"params": {}, "batch_stats": {}}, metadata=METADATA | {"step": 3}, data=CONFIG.data, run_images=run
    )
    monkeypatch.setattr("flaxmark.inference.network.Network", lambda _: network)
    monkeypatch.setattr("flaxmark.storage.trained.moments_of_run", lambda _: {})
    monkeypatch.setattr("flaxmark.data.prepare.prepare.prepare", lambda *_, **__: None)
    names = [str(number) for number in range(len(truth))]
    nothing = np.zeros((len(truth), 4), np.float32)
    unknown = np.full(truth.shape[:2], np.nan)
    examples = Examples(truth, nothing, nothing, nothing, unknown, names, names, names, 64, [b""] * len(truth))
    monkeypatch.setattr("flaxmark.data.prepare.prepare.load_split", lambda *_: examples)
    monkeypatch.setattr(
        "flaxmark.data.input.feed.crops_of",
        lambda _, rows, data, size: np.float32([np.full((size, size, 3), row) for row in rows]),
    )
    arguments = ["--workdir", str(tmp_path), "--out", str(tmp_path / "x.safetensors")]
    command_main("pack")(arguments)
    assert capsys.readouterr().out.count("NME on the 70 validation faces") == 2
    assert seen == [32, 32, 32, 32, 6, 6]


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": to_dict(dataclasses.replace(CONFIG, data=HUGE))},
        {"terms": 3},
        {"config": to_dict(dataclasses.replace(CONFIG, data=FLAT))},
        {"config": to_dict(CONFIG) | {"model": {"name": "nothing"}}},
        {"face_score": {"middle": "low", "width": 1.0}},
        {"face_score": {"middle": 1.0, "width": 0.0}},
        {"face_score": 5},
    ],
)
def test_the_metadata_of_a_file_is_checked(folded: dict, tmp_path: Path, metadata: dict[str, Any]) -> None:
    path = tmp_path / "x.safetensors"
    pack(folded, json.loads(json.dumps(METADATA | metadata)), path)
    with pytest.raises(CheckpointError) as caught:
        Network(path)
    assert caught.value.file == path
    assert "\n" not in str(caught.value)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_packed(path)
    assert caught.value.file == path
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_files_that_are_no_packed_network(folded: dict, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    refused(path)
    path.write_bytes(b"nothing at all")
    refused(path)
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    refused(path)
    for change, name in (
        ({"head/bias": np.zeros(4, np.float32)}, "head/bias"),
        ({"head/kernel:scale": np.ones((10, 1), np.float32)}, "head/kernel"),
        ({"head/bias": np.full(10, np.nan, np.float32)}, "head/bias"),
    ):
        pack(folded, METADATA, path)
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        safetensors.numpy.save_file(tensors | change, path, metadata={"flaxmark": json.dumps(METADATA)})
        assert name in refused(path)


def test_prediction_needs_only_the_data_and_the_network(folded: dict, tmp_path: Path) -> None:
    """Not the extensions that trained it."""
    stored = dict(METADATA["config"])
    stored |= {"loss": {"name": "of_an_extension"}, "optimizer": {"name": 3}, "train": {"epochs": 10**400}}
    stored["data"] = stored["data"] | {"augment": {"name": "of_an_extension"}, "name": "of_an_extension"}
    pack(folded, METADATA | {"config": stored}, tmp_path / "x.safetensors")
    network = Network(tmp_path / "x.safetensors")
    assert network.config == dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, name="of_an_extension"))
    assert network.metadata["config"] == stored
