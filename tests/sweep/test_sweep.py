"""Grids of cells, and sweeps that train them."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from helpers.commands import command_main
from helpers.small_config import small_config
from helpers.torch_weights import fresh_variables, weights_of

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.drawn import draw_face
from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.faces.crop import landmark_box, square_crop
from flaxmark.inference.predictor import Predictor
from flaxmark.models.losses import SmoothL1
from flaxmark.models.pretrained import start_from_run
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import to_dict
from flaxmark.storage.checkpoint import load_best
from flaxmark.sweep.grid import Cell, loss_variants, make_cells, run_sweep
from flaxmark.sweep.status_line import StatusLine


def test_shards_are_the_grid_and_deep_networks_come_last() -> None:
    networks = ("resnet152", "resnet18", "resnet50")
    grid = make_cells(networks, ("mse", "mae"), (0, 1))
    assert len(set(grid)) == 12
    assert [cell.network for cell in grid] == ["resnet18"] * 4 + ["resnet50"] * 4 + ["resnet152"] * 4
    shards = [make_cells(networks, ("mse", "mae"), (0, 1), index, 5) for index in range(5)]
    assert sorted(cell.name for shard in shards for cell in shard) == sorted(cell.name for cell in grid)
    assert max(len(shard) for shard in shards) == 3
    assert make_cells(("resnet18",), ("mse",), (0,), 1, 2) == []  # more shards than cells


def test_a_shard_without_cells_is_done(tmp_path: Path) -> None:
    assert run_sweep({}, tmp_path) == []


def test_a_shard_without_cells_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = ["--depths", "18", "--shard-index", "7", "--num-shards", "8", "--workdir", str(tmp_path)]
    command_main("sweep")(["--config", "quickstart", *shard])
    assert capsys.readouterr().out == "no cell of this grid falls to shard 7 of 8\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("--model.sigma", "model.sigma"),
        ("--model.no-sigma", "model.no_sigma"),
        ("--model.depth=50", "model.depth"),
        ("--loss.name=mse", "loss.name"),
        ("--train.seed=3", "train.seed"),
    ],
)
def test_what_the_cells_decide_is_no_flag(flag: str, field: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        command_main("sweep")(["--config", "quickstart", "--workdir", str(tmp_path), flag])
    assert caught.value.field == field
    assert list(tmp_path.iterdir()) == []


def test_a_cell_changes_network_loss_and_seed_alone() -> None:
    base = Config(train=TrainConfig(epochs=7))
    cell = make_cells(("resnet34",), ("smooth_l1_0.02",), (3,))[0]
    assert cell.name == "resnet34_smooth_l1_0.02_seed3"
    assert cell.config(base) == dataclasses.replace(
        base, model=ResNetConfig(depth=34), loss=SmoothL1(0.02), train=TrainConfig(epochs=7, seed=3)
    )
    assert make_cells(("resnet34",), ("smooth_l1",), (3,))[0].config(base).loss == SmoothL1(1.0)
    assert make_cells(("resnet34",), ("nll",), (3,))[0].config(base).model.sigma


def test_cells_are_found_by_their_names_and_configs() -> None:
    for cell in make_cells(("resnet18", "resnet152"), list(loss_variants()), (0, 12)):
        assert Cell.named(cell.name) == cell
        assert Cell.of(cell.config(Config())) == cell
    for name in ("resnet18_seed0", "resnet19_mse_seed0", "resnet18_smooth_l1_0.03_seed0", "resnet18_mse_seed", "img"):
        assert Cell.named(name) is None
    assert Cell.of(Config(loss=SmoothL1(0.5))) is None


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ((("resnet19",), ("mse",), (0,)), "networks", "resnet19"),
        ((("resnet18",), ("hinge",), (0,)), "losses", "hinge"),
        ((("resnet18",), (), (0,)), "losses", ""),
        ((("resnet18",), ("mse",), (1, 1)), "seeds", "1 1"),
        ((("resnet18",), ("mse",), (0,), 2, 2), "shard_index", 2),
    ],
)
def test_grids_that_cannot_be(arguments: tuple, field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        make_cells(*arguments)
    assert (caught.value.field, caught.value.value) == (field, value)


def test_progress_says_what_is_done_and_what_is_left(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = StatusLine([18, 18, 152], [True, False, False], 4, stream=stream)
    folders = [cell_folder(tmp_path / name) for name in ("resnet18_mae_seed0", "resnet152_mae_seed0")]
    progress.cell_started(1, folders[0])
    write_epochs(folders[0], 1)
    progress.show()  # not in a log
    progress.cell_ended(1, "")
    progress.cell_started(2, folders[1])
    progress.cell_ended(2, "out of memory")
    first, second = stream.getvalue().splitlines()
    assert first.startswith("resnet18_mae_seed0 done  |  2 done, 0 running, 1 left  |  ")
    assert second == "resnet152_mae_seed0 FAILED: out of memory  |  2 done, 1 failed, 0 running, 0 left  |  all ended"


def cell_folder(path: Path) -> Path:
    path.mkdir()
    return path


def write_epochs(folder: Path, epochs: int) -> None:
    """Metrics of a run with so many epochs, cut off while it writes more."""
    kinds = ("validation", "train")
    lines = [json.dumps({"kind": kind, "epoch": e + 1, "nme": 9.5}) for e in range(epochs) for kind in kinds]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines) + '{"kind": "valid')


class Terminal(io.StringIO):
    """A live line, and what came before it."""

    def isatty(self) -> bool:
        return True

    def line(self) -> str:
        return self.getvalue().split("\r\x1b[K")[-1]


def test_progress_shows_all_running_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four equal cells, two at a time, of which one was resumed after its second of four epochs."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    progress = StatusLine([18] * 4, [False] * 4, 4, 2, stream)
    one, other = (cell_folder(tmp_path / name) for name in ("one", "other"))
    progress.cell_started(0, one)
    write_epochs(other, 2)
    progress.cell_started(1, other)
    progress.show()
    cells = "one  epoch 0/4; other  epoch 2/4  NME 9.50 %"
    assert stream.line() == f"0 done, 2 running, 2 left  |  {cells}  |  time left unknown yet"
    clock[0] = 60.0
    write_epochs(one, 1)
    write_epochs(other, 3)
    progress.show()  # an epoch takes a minute: 3 and 1 are left, then 4 and 4 on whichever is free: until 7 and 5
    cells = "one  epoch 1/4  NME 9.50 %; other  epoch 3/4  NME 9.50 %"
    assert stream.line() == f"0 done, 2 running, 2 left  |  {cells}  |  7m00s left"
    monkeypatch.setenv("COLUMNS", "70")
    progress.show()
    assert stream.line() == "0 done, 2 running, 2 left  |  one  epoch 1/4  NME 9.5…  |  7m00s left"
    clock[0] = 120.0
    write_epochs(one, 2)
    progress.cell_ended(1, "")
    ended = "other done  |  1 done, 1 running, 2 left  |  one  epoch 2/4  NME 9.50 %  |  6m00s left\n"
    assert stream.line() == ended


def test_a_cell_that_fails_does_not_stop_the_others_and_results_are_kept(tmp_path: Path) -> None:
    """The real job: a cell with sigma that starts from a file of weights, and one whose folder is another run's."""
    safetensors.numpy.save_file(weights_of(18), tmp_path / "imagenet.safetensors")
    model = ResNetConfig(init_from=str(tmp_path / "imagenet.safetensors"))
    base = dataclasses.replace(small_config(), model=model)
    cells = make_cells(("resnet18",), ("mse", "nll"), (0,))
    broken = tmp_path / cells[0].name
    (broken / "checkpoints" / "9").mkdir(parents=True)
    other = dataclasses.replace(base, train=TrainConfig(epochs=9))
    (broken / "config.json").write_text(json.dumps(to_dict(other)))
    configs = {cell: cell.config(base) for cell in cells}
    first = run_sweep(configs, tmp_path)
    assert [outcome.done for outcome in first] == [False, True]
    assert "train.epochs" in first[0].reason
    assert (broken / "failed.txt").read_text() == first[0].reason + "\n"
    workdir = tmp_path / cells[1].name
    check_result(json.loads((workdir / "result.json").read_text()))
    check_weights(workdir)
    metrics = (workdir / "metrics.jsonl").read_text()
    assert [outcome.done for outcome in run_sweep(configs, tmp_path)] == [False, True]
    assert (workdir / "metrics.jsonl").read_text() == metrics  # not trained again
    longer = dataclasses.replace(base, train=dataclasses.replace(base.train, epochs=2))
    with pytest.raises(CheckpointError, match=r"train\.epochs \(1 there, 2 here\)"):
        run_sweep({cells[1]: cells[1].config(longer)}, tmp_path)


def check_result(result: dict) -> None:
    faces = result["splits"]["validation"]["faces"]
    assert len(faces["nme"]) == len(faces["yaw"]) == len(faces["file"]) == 4
    assert sum(faces["nme"]) / 4 == pytest.approx(result["rows"][0]["nme"], abs=1e-3)
    assert len(result["splits"]["validation"]["points"]) == 68
    assert result["cost"]["parameters"] == 11_246_280 + 513 * 68  # the head of 136 units and that of sigma
    held = result["splits"]["validation"]["coverage"]
    assert held["share"][-1] == 0.99
    assert held["scaled"] == sorted(held["scaled"])


def check_weights(workdir: Path) -> None:
    """They are still nearly those of the file, may be started from, and say how sure they are."""
    trained, metadata = load_best(workdir)
    kernel = weights_of(18)["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(trained["params"]["stem_conv"]["kernel"], kernel, atol=1e-4)
    again = start_from_run(trained, fresh_variables(18), str(workdir))  # a network without sigma
    np.testing.assert_array_equal(again["params"]["head"]["bias"], trained["params"]["head"]["bias"])
    image, points = draw_face(7, 160)
    face = Predictor(workdir).predict(image, landmark_box(points))[0]
    assert face.sigma is not None
    assert face.score is not None
    assert 0 <= face.score <= 1
    assert face.sigma.shape == (68,)
    side = square_crop(face.box, 1.5)[2]
    assert face.sigma.min() > 0.01 * metadata["sigma_scale"] * side  # it starts at 0.05 of the crop
