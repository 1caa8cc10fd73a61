"""Estimate of a sweep's time before its first cell."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import command_main
from helpers.networks import own_networks
from helpers.small_config import small_config

from flaxmark.errors import ConfigError
from flaxmark.models.model import ModelConfig
from flaxmark.sweep import estimate, grid
from flaxmark.sweep.estimate import CellLeft, estimate_time, make_estimate, seconds_of_cells, steps_left
from flaxmark.sweep.grid import Cell, describe_sweep, make_cells, run_sweep
from flaxmark.sweep.measured_cell import CellTime
from flaxmark.sweep.status_line import time_until_done

# ResNet-18, 50 and 152 cost 1.8, 3.8 and 11.3 GFLOP.
CHEAP, COSTLY = CellTime(start=10, compile=5, work=100, step=0.1), CellTime(start=20, compile=25, work=1070, step=1.07)
MEASURED = {"resnet18": CHEAP, "resnet152": COSTLY}


def cells_left(networks: Sequence[str], seeds: Sequence[int] = (0,), epochs: int = 4, epoch: int = 0) -> list[CellLeft]:
    cells = make_cells(networks, ("mse",), seeds)
    return [CellLeft(cell.config(small_config(epochs=epochs)), epoch) for cell in cells]


def measured(cells: Sequence[CellLeft], jobs: int = 1) -> dict[str, CellTime]:
    return {network: time for network, time in MEASURED.items() if network in {cell.network for cell in cells}}


def test_cells_take_what_was_measured() -> None:
    both = cells_left(("resnet18", "resnet152"))
    assert seconds_of_cells(both, MEASURED) == pytest.approx([10 + 5 + 100, 20 + 25 + 1070])
    # 2.0 of the 9.5 GFLOP between the two: each figure has gone 4/19 of the way.
    middle = (10 + 40 / 19) + (5 + 80 / 19) + (100 + 3880 / 19)
    three = cells_left(("resnet18", "resnet50", "resnet152"))
    assert seconds_of_cells(three, MEASURED) == pytest.approx([10 + 5 + 100, middle, 20 + 25 + 1070])
    assert seconds_of_cells(cells_left(("resnet50",)), {"resnet50": CHEAP}) == pytest.approx([115])


def test_networks_of_the_same_cost_are_measured_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """As networks of one's own are, which have cost 1 unless they say otherwise."""
    with own_networks():

        @dataclasses.dataclass(frozen=True)
        class Quick(ModelConfig):
            name = "test_quick"

        @dataclasses.dataclass(frozen=True)
        class Slow(ModelConfig):
            name = "test_slow"

        times = {"test_quick": CHEAP, "test_slow": COSTLY}
        monkeypatch.setattr(estimate, "_measure", lambda cells, jobs: times[cells[0].network])
        cells = [CellLeft(dataclasses.replace(small_config(), model=kind()), 0) for kind in (Slow, Quick)]
        found = estimate.measure_cells(cells, 1)
        assert found == times
        assert seconds_of_cells(cells, found) == pytest.approx([20 + 25 + 1070, 10 + 5 + 100])


def test_programs_are_compiled_once_and_epochs_that_are_done_are_not_made_again() -> None:
    three = cells_left(("resnet18",), seeds=(0, 1, 2))
    assert seconds_of_cells(three, measured(three)) == pytest.approx([115, 110, 110])
    resumed = cells_left(("resnet18",), epoch=3)
    assert seconds_of_cells(resumed, measured(resumed)) == pytest.approx([10 + 5 + 100 / 4])


def test_cells_start_where_a_place_is_free() -> None:
    assert time_until_done([4, 3, 2, 5], 1) == 14
    assert time_until_done([4, 3, 2, 5], 2) == 9  # 4 + 5 beside 3 + 2
    assert time_until_done([4, 3], 5) == 4
    assert time_until_done([1], 2, running=[7, 2]) == 7


def test_the_line_gives_the_total() -> None:
    cells = cells_left(("resnet18", "resnet152"), seeds=(0, 1))  # 115, 110, 1115 and 1090 s
    assert make_estimate(cells, 1, MEASURED).line.startswith("about 40m30s for 4 cells (")
    assert make_estimate(cells, 2, MEASURED).line.startswith("about 20m25s for 4 cells, 2 at a time (")


def test_small_sweeps_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def measure(cells: Sequence[CellLeft], jobs: int) -> dict[str, CellTime]:
        asked.append(steps_left(cells))
        return measured(cells, jobs)

    monkeypatch.setattr(estimate, "measure_cells", measure)
    # Eight faces in batches of four: two steps an epoch.
    assert estimate_time(cells_left(("resnet18", "resnet34"), epochs=499), 1) is None
    assert estimate_time(cells_left(("resnet18", "resnet34"), epochs=503, epoch=4), 1) is None  # 1,996 are left
    assert asked == []
    assert estimate_time(cells_left(("resnet18", "resnet34"), epochs=500), 1) is not None
    assert estimate_time(cells_left(("resnet18",), epochs=1), 1, always=True) is not None
    assert asked == [2000, 2]


def small_grid() -> dict[Cell, Any]:
    return {cell: cell.config(small_config(epochs=4)) for cell in make_cells(("resnet18",), ("mse", "mae"), (0,))}


def test_a_dry_run_starts_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grid, "run_cells", pytest.fail)
    monkeypatch.setattr(estimate, "measure_cells", measured)
    arguments = ["--config", "quickstart", "--depths", "18", "152", "--losses", "mse", "--workdir", str(tmp_path / "w")]
    command_main("sweep")([*arguments, "--dry-run"])
    first, second, last = capsys.readouterr().out.splitlines()
    assert (first, second) == ("resnet18_mse_seed0  new, about 1m55s", "resnet152_mse_seed0  new, about 18m35s")
    assert last.startswith("about 20m30s for 2 cells")
    monkeypatch.setattr(estimate, "measure_cells", pytest.fail)
    command_main("sweep")([*arguments, "--dry-run", "--no-estimate"])
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 cells to train"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_estimates_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "measure_cells", measured)
    cells = small_grid()
    done, interrupted = (tmp_path / cell.name for cell in cells)
    for folder in (done, interrupted):
        folder.mkdir()
    monkeypatch.setattr(grid, "stored_result", lambda folder, config: {} if folder == done else None)
    (interrupted / "metrics.jsonl").write_text(json.dumps({"kind": "validation", "epoch": 2, "nme": 9.0}) + "\n")
    lines = describe_sweep(cells, tmp_path).splitlines()
    assert lines[:2] == ["resnet18_mse_seed0  done", "resnet18_mae_seed0  from epoch 3 of 4, about 1m05s"]
    assert lines[2].startswith("about 1m05s for 1 cell (")


@pytest.mark.parametrize("works", [True, False])
def test_a_measurement_that_fails_does_not_stop_the_sweep(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []

    def run(runs: dict[int, tuple[Any, Path]], jobs: int, status: object) -> dict[int, str]:
        started.extend(workdir.name for _, workdir in runs.values())
        return dict.fromkeys(runs, "")

    monkeypatch.setattr(estimate, "FEWEST_STEPS", 0)
    monkeypatch.setattr(estimate, "run_cells", lambda runs, jobs, work: dict.fromkeys(runs, "out of\nmemory"))
    if works:
        monkeypatch.setattr(estimate, "measure_cells", measured)
    monkeypatch.setattr(grid, "run_cells", run)
    assert all(outcome.done for outcome in run_sweep(small_grid(), tmp_path, estimate=True))
    assert started == ["resnet18_mse_seed0", "resnet18_mae_seed0"]
    line = capsys.readouterr().err.splitlines()[-1]
    total = "about 3m50s for 2 cells (measured here: ResNet-18 0.1 s a step)"
    assert line == (total if works else "no estimate of the time: ResNet-18: out of memory")


def test_ctrl_c_while_measuring_starts_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt("during 0, which is saved; the same command resumes")

    monkeypatch.setattr(estimate, "FEWEST_STEPS", 0)
    monkeypatch.setattr(estimate, "run_cells", interrupt)
    monkeypatch.setattr(grid, "run_cells", pytest.fail)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_sweep(small_grid(), tmp_path, estimate=True)
    assert "saved" not in str(caught.value)


def test_a_cell_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The real job: setup, steps, validation and report."""
    cells = make_cells(("resnet18",), ("mse",), (0,))
    lines = describe_sweep({cell: cell.config(small_config()) for cell in cells}, tmp_path).splitlines()
    assert re.fullmatch(r"resnet18_mse_seed0  new, about \d+m?\d*s", lines[0])
    assert re.fullmatch(r"about \d+m?\d*s for 1 cell \(measured here: ResNet-18 \S+ s a step\)", lines[1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.torture
def test_cells_are_measured_together_and_none_waits_for_one_that_fails() -> None:
    """Two at a time; then one of them has a batch that its faces cannot fill."""
    sound = cells_left(("resnet18",), seeds=(0, 1), epochs=1)
    (times,) = estimate.measure_cells(sound, 2).values()
    assert min(times.start, times.compile, times.work, times.step) > 0
    assert times.work > 2 * times.step  # two steps and a validation
    config = sound[1].config
    broken = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=16))
    with pytest.raises(estimate.NoEstimateError, match="only 8 training faces"):
        estimate.measure_cells([sound[0], CellLeft(broken, 0)], 2)


@pytest.mark.parametrize("field", ["train.min_steps", "model.init_from"])
def test_cells_of_unknown_length_are_refused(field: str, tmp_path: Path) -> None:
    config = small_config(min_steps=200) if field == "train.min_steps" else small_config()
    if field == "model.init_from":
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, init_from="drawn_112px.py"))
    usual, odd = make_cells(("resnet18", "resnet50"), ("mse",), (0,))
    with pytest.raises(ConfigError) as caught:
        describe_sweep({usual: usual.config(small_config()), odd: odd.config(config)}, tmp_path)
    assert caught.value.field == field
