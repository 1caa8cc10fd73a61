"""Runs that resume after their data set has changed."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import pytest
from helpers.networks import own_networks
from helpers.small_config import small_config
from PIL import Image

from flaxmark.config.config import Config
from flaxmark.data.drawn import draw_face
from flaxmark.errors import DataError
from flaxmark.models.losses import MAE
from flaxmark.models.model import Layers, ModelConfig
from flaxmark.storage.checkpoint import load_best, newest_metadata
from flaxmark.storage.workdir import claim_workdir
from flaxmark.training.loop import train
from flaxmark.training.run_faces import has_other_faces


@pytest.fixture(scope="module")
def network() -> Iterator[ModelConfig]:
    """A network that compiles in a moment."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class OneNorm(ModelConfig):
            name = "test_one_norm"

            def features(self, images: jax.Array, layers: Layers) -> jax.Array:
                return nn.relu(layers.norm("norm1", after="conv1")(layers.conv(8, 7, 8, "conv1")(images)))

        yield OneNorm()


def row(number: int, moved: float = 0.0) -> str:
    points = draw_face(number, 96)[1] + moved
    return ",".join([f"{number}.png", *(f"{value:.3f}" for value in points.reshape(-1))]) + "\n"


def write_faces(folder: Path, train: list[str], validation: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(12):
        if not (folder / f"{number}.png").exists():
            Image.fromarray(draw_face(number, 96)[0]).save(folder / f"{number}.png")
    (folder / "train.csv").write_text("".join(train))
    (folder / "validation.csv").write_text("".join(validation))
    return folder


def config_of(network: ModelConfig, folder: Path, **train: Any) -> Config:
    config = small_config(batch_size=8, eval_batch_size=8, epochs=2, validate_every=1, **train)
    data = dataclasses.replace(
        config.data, name="csv", dir=str(folder), train_list="train.csv", validation_list="validation.csv"
    )
    return dataclasses.replace(config, data=data, model=network)


@pytest.mark.usefixtures("quick_runs")
def test_other_faces_are_named_refused_and_accepted(
    network: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, held_out = [row(n) for n in range(8)], [row(n) for n in range(8, 12)]
    folder, workdir = write_faces(tmp_path / "faces", first, held_out), tmp_path / "run"

    def stop(*_: Any) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr("flaxmark.training.loop.write_report", stop)
        with pytest.raises(InterruptedError):
            train(config_of(network, folder), workdir)
        # The same faces elsewhere, with files of another time, and prepared anew.
        shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
        with pytest.raises(InterruptedError):
            train(config_of(network, tmp_path / "copy"), workdir)

    def refused() -> str:
        with pytest.raises(DataError) as caught:
            train(config_of(network, folder), workdir)
        assert caught.value.field == "data.dir"
        assert (workdir / "faces.tsv").read_text() == listed
        return caught.value.reason

    listed = (workdir / "faces.tsv").read_text()
    write_faces(folder, [*first, row(8)], held_out[1:])
    reason = refused()
    assert "train 9 faces instead of 8: 1 new (8.png)" in reason
    assert "validation 3 faces instead of 4: 1 gone (8.png)" in reason
    write_faces(folder, [*first[:7], row(7, 2.0)], held_out)
    assert "1 changed (7.png)" in refused()
    write_faces(folder, first, held_out[:3])
    assert "1 gone (11.png)" in refused()

    before = newest_metadata(workdir)["validation"]
    result = train(config_of(network, folder, accept_other_data=True), workdir)
    assert result["rows"][0]["faces"] == 3
    metadata = load_best(workdir)[1]
    assert metadata["step"] == 2
    assert metadata["validation"]["loss"] != before["loss"]
    assert [line["epoch"] for line in result["history"]] == [2]  # validated on one set of faces
    aside = workdir / "other_data" / "2"
    assert (aside / "faces.tsv").read_text() == listed
    assert (aside / "metrics.jsonl").read_text().count('"validation"') == 2
    assert (workdir / "faces.tsv").read_text().count("\n") == 11
    assert "1 gone (11.png)" in capsys.readouterr().out


@pytest.mark.usefixtures("quick_runs")
def test_what_an_unfinished_save_has_left_is_no_run(network: ModelConfig, tmp_path: Path) -> None:
    """Killed during the first save: neither other faces nor another config spoil anything."""
    folder, workdir = write_faces(tmp_path / "faces", [row(n) for n in range(8)], [row(8)]), tmp_path / "run"
    config = config_of(network, folder)
    claim_workdir(workdir, dataclasses.replace(config, loss=MAE()))
    (workdir / "checkpoints" / "1.orbax-checkpoint-tmp").mkdir(parents=True)
    (workdir / "faces.tsv").write_text("train\t1\ta.jpg\n")
    assert train(config, workdir)["rows"][0]["faces"] == 1
    assert (workdir / "faces.tsv").read_text().count("\n") == 9
    assert json.loads((workdir / "config.json").read_text())["loss"]["name"] == "smooth_l1"


def test_runs_of_earlier_versions_know_their_training_files(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "train_faces.txt").write_text("a.jpg\nb.jpg\n")
    faces = {"train": {"a.jpg": ["1"], "b.jpg": ["2", "3"]}, "validation": {"c.jpg": ["4"]}}
    assert not has_other_faces(tmp_path, Config(), faces)
    with pytest.raises(DataError) as caught:
        has_other_faces(tmp_path, Config(), faces | {"train": {"a.jpg": ["1"]}})
    assert "1 gone (b.jpg)" in caught.value.reason


def test_another_process_with_other_faces_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "faces.tsv").write_text("train\t1\ta.jpg\n")
    monkeypatch.setattr("flaxmark.training.run_faces.all_agree", lambda _: False)
    with pytest.raises(DataError):
        has_other_faces(tmp_path, Config(), {"train": {"a.jpg": ["1"]}})
