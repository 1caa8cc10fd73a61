"""Cells that train at the same time, and how they end together."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.commands import ROOT, command_line
from helpers.runs import TINY, steps, wait
from helpers.small_config import small_config

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.schema import to_dict
from flaxmark.sweep.cell_processes import MEMORY_VARIABLES, deal_out
from flaxmark.sweep.grid import make_cells, run_sweep


def test_a_machine_is_dealt_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    dealt = [share.cores for share in deal_out(3, range(10, 18))]
    assert sorted(core for cores in dealt for core in cores) == list(range(10, 18))
    assert {len(cores) for cores in dealt} == {2, 3}
    assert [share.cores for share in deal_out(4, [2, 5])] == [(2,), (5,), (2,), (5,)]
    assert [share.cores for share in deal_out(2, [])] == [(), ()]  # a system that has no such thing
    for name in MEMORY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    deal_out(2, [])[0].take()
    assert float(os.environ.pop(MEMORY_VARIABLES[0])) == 0.45
    for name in MEMORY_VARIABLES:  # what the user has set stays, and JAX refuses both
        monkeypatch.setenv(name, "0.3")
        deal_out(2, [])[0].take()
        assert [os.environ.get(other) for other in MEMORY_VARIABLES if other != name] == [None]
        assert os.environ[name] == "0.3"
        monkeypatch.delenv(name)


@pytest.mark.parametrize("jobs", [0, -1, 65])
def test_so_many_jobs_are_refused(tmp_path: Path, jobs: int) -> None:
    configs = {cell: cell.config(Config()) for cell in make_cells(("resnet18",), ("mse",), (0,))}
    with pytest.raises(ConfigError) as caught:
        run_sweep(configs, tmp_path, jobs)
    assert (caught.value.field, caught.value.value) == ("jobs", jobs)
    assert list(tmp_path.iterdir()) == []


def test_two_at_a_time_are_as_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three fails, and two train at the same time, with the programs and the results of one that was alone."""
    programs = tmp_path / "programs"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # all of them, however busy the machine is
    cells = make_cells(("resnet18",), ("mse",), (0, 1, 2))
    configs = {cell: cell.config(small_config()) for cell in cells}
    assert run_sweep({cells[1]: configs[cells[1]]}, tmp_path / "one")[0].done
    compiled = sorted(path.name for path in programs.glob("*-cache"))
    assert compiled
    *sound, broken = [tmp_path / "two" / cell.name for cell in cells]
    (broken / "checkpoints" / "9").mkdir(parents=True)
    (broken / "config.json").write_text(json.dumps(to_dict(small_config(epochs=9))))
    assert [outcome.done for outcome in run_sweep(configs, tmp_path / "two", jobs=2)] == [True, True, False]
    assert "train.epochs" in (broken / "failed.txt").read_text()
    started = [(folder / "config.json").stat().st_mtime for folder in sound]
    ended = [(folder / "result.json").stat().st_mtime for folder in sound]
    assert max(started) < min(ended)
    assert sorted(path.name for path in programs.glob("*-cache")) == compiled  # also for another seed
    two, one = (json.loads((tmp_path / where / cells[1].name / "result.json").read_text()) for where in ("two", "one"))
    for row, expected in zip(two["rows"], one["rows"], strict=True):
        assert row["nme"] == pytest.approx(expected["nme"], rel=1e-5)  # on fewer cores sums have another order
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)


@pytest.mark.torture
@pytest.mark.parametrize("to", ["sweep", "group", "cell and sweep"])
def test_sigterm_saves_the_cell(environment: dict[str, str], tmp_path: Path, to: str) -> None:
    """Also where all of the group get it, or every process, as from SLURM: for the cell it is one signal, not two."""
    line = command_line("sweep", *TINY, "--depths", "18", "--losses", "mse", "--train.epochs", "40")
    line += ["--workdir", str(tmp_path)]
    process = subprocess.Popen(line, cwd=ROOT, env=environment, start_new_session=True)
    cell = tmp_path / "resnet18_mse_seed0"
    assert wait(process, lambda: steps(cell) > 3)
    if to == "cell and sweep":
        os.kill(int(children_of(process.pid)[-1]), signal.SIGTERM)  # the first one keeps count of shared memory
    (os.killpg if to == "group" else os.kill)(process.pid, signal.SIGTERM)
    assert process.wait(60) == 75
    assert "interrupted" in (cell / "log.txt").read_text()
    assert steps(cell) > 3
    assert any(path.name.isdigit() for path in (cell / "checkpoints").iterdir())


@pytest.mark.torture
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGHUP, 75)])
def test_all_cells_that_run_save(environment: dict[str, str], tmp_path: Path, number: int, status: int) -> None:
    line = command_line("sweep", *TINY, "--depths", "18", "--losses", "mse", "mae", "smooth_l1")
    line += ["--jobs", "2", "--train.epochs", "40", "--workdir", str(tmp_path)]
    process = subprocess.Popen(line, cwd=ROOT, env=environment, start_new_session=True)
    cells = [tmp_path / f"resnet18_{loss}_seed0" for loss in ("mse", "mae")]
    assert wait(process, lambda: all(steps(cell) > 3 for cell in cells))
    os.killpg(process.pid, number)  # as a terminal and SLURM do
    assert process.wait(60) == status
    for cell in cells:
        assert "interrupted" in (cell / "log.txt").read_text()
        saved = [int(path.name) for path in (cell / "checkpoints").iterdir() if path.name.isdigit()]
        assert max(saved) == steps(cell)
    assert list((tmp_path / "resnet18_smooth_l1_seed0").iterdir()) == []  # it was not started


@pytest.mark.torture
def test_ctrl_c_while_cells_start_says_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    line = command_line("sweep", *TINY, "--depths", "18", "--losses", "mse", "mae", "--jobs", "2")
    line += ["--workdir", str(tmp_path)]
    process = subprocess.Popen(
        line, cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    assert wait(process, lambda: len(children_of(process.pid)) == 3)  # two cells, and what counts shared memory
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    cells = "resnet18_mse_seed0, resnet18_mae_seed0"
    assert said == f"\ninterrupted during {cells}, which are saved; the same command resumes\n"


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
