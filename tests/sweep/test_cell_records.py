"""Cells of a sweep, read from its folder."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.commands import ROOT
from helpers.sweep_results import outside_members, write_half_a_sweep, write_result

from flaxmark.config.files import EXTENSIONS
from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.models.losses import Loss
from flaxmark.sweep.grid import make_cells
from flaxmark.sweep.report.cell_records import best_records, main_split, read_records
from flaxmark.sweep.report.result_tables import verdict
from flaxmark.sweep.report.texts import load_texts


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Twelve cells, ten of them finished."""
    return write_half_a_sweep(tmp_path / "table")


@pytest.fixture
def outside() -> Iterator[None]:
    with outside_members():
        yield


def test_the_best_cells_are_chosen_on_validation(sweep: Path) -> None:
    records, texts = read_records(sweep), load_texts("en")
    assert [record.name for record in best_records(records)] == ["resnet18_mse_seed0", "resnet50_mse_seed0"]
    assert main_split(records) == "validation"
    assert verdict(records, texts) == texts.verdict
    assert records[0].result is not None
    records[0].result["rows"][0]["mse"] = 0.002  # more than a quarter of the mean face's
    assert "resnet18_mse_seed0" in verdict(records, texts)


def test_cells_of_an_unknown_loss_or_network_name_the_extensions(outside: None, sweep: Path) -> None:
    cell = make_cells(("tiny_net_8",), ("quartic",), (0,))[0]
    write_result(sweep, cell, 5)
    assert len(read_records(sweep)) == 13
    del Loss.members["quartic"]
    for content in (True, False):
        with pytest.raises(ConfigError) as caught:
            read_records(sweep)
        assert caught.value.field == EXTENSIONS
        assert caught.value.file == sweep / cell.name / ("result.json" if content else "")
        (sweep / cell.name / "result.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"config": {"model": {"depth": 50}}}', "another seed", "another beta", "an unknown field"],
)
def test_a_result_that_cannot_be_used_is_named(sweep: Path, text: str) -> None:
    path = sweep / "resnet18_smooth_l1_seed0" / "result.json"
    result = json.loads(path.read_text())
    if text == "another seed":
        result["config"]["train"]["seed"] = 5
    elif text == "another beta":
        result["config"]["loss"]["beta"] = 0.5
    elif text == "an unknown field":
        result["config"]["train"]["colour"] = "red"
    path.write_text(json.dumps(result) if text.startswith("an") else text)
    with pytest.raises(CheckpointError) as caught:
        read_records(sweep)
    assert caught.value.file == path


@pytest.mark.parametrize(("folder", "count"), [("table", 16), ("sample", 12)])
def test_results_of_version_0_1_are_read(folder: str, count: int, tmp_path: Path) -> None:
    for path in (ROOT / "docs" / folder).glob("*/result.json"):
        shutil.copytree(path.parent, tmp_path / path.parent.name)
    records = read_records(tmp_path)
    assert len(records) == count
    assert all(record.result for record in records)
    assert {record.title for record in records} >= {"ResNet-18", "ResNet-50"}


def test_folders_without_cells_are_named(tmp_path: Path) -> None:
    for folder in (tmp_path / "nothing", tmp_path):
        with pytest.raises(CheckpointError) as caught:
            read_records(folder)
        assert caught.value.file == folder
