"""The commands that people type, at a tiny size: train, stop, resume, evaluate, predict."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, command_line, refusal, run_command
from helpers.fixture_300w import Tree
from helpers.runs import TINY, assert_equal_to_the_bit, is_saving, metric_lines, start, steps, wait
from PIL import Image

from flaxmark.data.drawn import draw_face
from flaxmark.evaluation.metrics import nme
from flaxmark.faces.crop import landmark_box

TRAIN = [*TINY, "--train.save-every", "5"]


@pytest.fixture(scope="module")
def workdir(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    done = run_command(environment, "train", *TRAIN, "--workdir", path)
    assert done.returncode == 0, done.stderr
    assert "epoch 4/4" in done.stderr
    assert "mean face" in done.stdout
    assert "E0000" not in done.stderr  # no chatter of libraries
    assert "WARNING" not in done.stderr
    return path


def shorter_side(picture: Path) -> int:
    with Image.open(picture) as image:
        return min(image.size)


def test_a_run_leaves_everything(workdir: Path) -> None:
    names = {p.name for p in workdir.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "table.md", "result.json"}
    for picture in ("curves.png", "test.png"):
        assert shorter_side(workdir / picture) > 300
    result = json.loads((workdir / "result.json").read_text())
    phases = ["start", "prepare", "load", "compile", "saving", "steps", "validation", "report", "other"]
    assert list(result["time"]) == phases
    assert all(seconds >= 0 for seconds in result["time"].values())
    assert result["time"]["steps"] > 0
    rows = result["rows"]
    assert {(r["split"], r["predictor"]) for r in rows} >= {("validation", "network"), ("test", "mean face")}
    lines = metric_lines(workdir)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, 13))
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [3, 6, 9, 12]


def test_the_same_command_again_prints_the_result(environment: dict[str, str], workdir: Path) -> None:
    again = run_command(environment, "train", *TRAIN, "--workdir", workdir)
    assert again.returncode == 0
    assert "finished" in again.stdout
    assert any((Path(environment["XDG_CACHE_HOME"]) / "flaxmark" / "xla").iterdir())  # compiled programs are kept
    assert "mean face" in again.stdout


def test_another_config_in_the_workdir_is_refused(environment: dict[str, str], workdir: Path) -> None:
    other = run_command(environment, "train", *TRAIN, "--workdir", workdir, "--train.seed", "5")
    assert other.returncode == 2
    assert "train.seed (0 there, 5 here)" in other.stderr


def test_killed_and_stopped_equals_uninterrupted(environment: dict[str, str], workdir: Path, tmp_path: Path) -> None:
    parts, line = tmp_path / "parts", command_line("train", *TRAIN)
    moments: list[tuple[Callable[[], bool], signal.Signals]] = [
        (lambda: steps(parts) >= 3, signal.SIGTERM),  # first: what a kill leaves behind would pass for progress
        (lambda: steps(parts) >= 5, signal.SIGKILL),
        (lambda: steps(parts) >= 7 and is_saving(parts), signal.SIGKILL),
        (lambda: (parts / "curves.png").exists(), signal.SIGKILL),  # the first file of its report
    ]
    for moment, stop in moments:
        process = start(environment, parts, line)
        assert wait(process, moment)
        process.send_signal(stop)
        _, said = process.communicate(timeout=300)
        assert process.returncode == (75 if stop == signal.SIGTERM else -stop), said
        assert ("the same command resumes" in said) == (stop == signal.SIGTERM)
    resumed = run_command(environment, "train", *TRAIN, "--workdir", parts)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming" in resumed.stdout
    assert_equal_to_the_bit(workdir, parts)


def test_report_of_a_sweep_with_its_faces(environment: dict[str, str], workdir: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    shutil.copytree(workdir, sweep / "resnet18_smooth_l1_0.02_seed0")
    done = run_command(environment, "report", sweep, "--language", "zh")
    assert done.returncode == 0, done.stderr
    text = (sweep / "report_zh.md").read_text()
    for name in (
        "worst.webp",
        "random.webp",
        "jitter.png",
        "landmark_baseline_resnet18_criterion_smooth_l1_0.02_0.webp",
    ):
        assert f"./img/{name}" in text
        assert shorter_side(sweep / "img" / name) > 300
    assert "nothing" in refusal("report", tmp_path / "nothing")


def test_evaluate_prints_the_table_of_the_run(environment: dict[str, str], workdir: Path, tmp_path: Path) -> None:
    done = run_command(environment, "evaluate", "--workdir", workdir, "--out", tmp_path / "t.md")
    assert done.returncode == 0, done.stderr
    stored = {
        (r["split"], r["subset"], r["predictor"]): r for r in json.loads((workdir / "result.json").read_text())["rows"]
    }
    for row in json.loads((tmp_path / "t.json").read_text()):
        assert row["nme"] == pytest.approx(stored[row["split"], row["subset"], row["predictor"]]["nme"], rel=1e-5)
    assert (tmp_path / "t.md").read_text().strip() in done.stdout
    assert "trained on" not in done.stderr
    again = run_command(environment, "evaluate", "--workdir", workdir, "--out", tmp_path / "t.md")
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_evaluate_counts_faces_that_were_trained_on(environment: dict[str, str], workdir: Path, tmp_path: Path) -> None:
    shutil.copytree(workdir, tmp_path / "run")
    listed = (tmp_path / "run" / "train_faces.txt").read_text().splitlines()
    assert len(listed) == 24
    # As if it had been trained on three of its ten validation faces.
    (tmp_path / "run" / "train_faces.txt").write_text("".join(f"drawn/{10**9 + i:010d}\n" for i in (0, 4, 9)))
    done = run_command(environment, "evaluate", "--workdir", tmp_path / "run")
    assert "warning: 3 of the 10 validation faces were trained on" in done.stderr
    # As if the run that it had started from had been trained on them.
    (tmp_path / "run" / "pretraining").mkdir()
    (tmp_path / "run" / "train_faces.txt").rename(tmp_path / "run" / "pretraining" / "train_faces.txt")
    assert "trained on" not in run_command(environment, "evaluate", "--workdir", tmp_path / "run").stderr
    shutil.copy(tmp_path / "run" / "config.json", tmp_path / "run" / "pretraining")
    done = run_command(environment, "evaluate", "--workdir", tmp_path / "run")
    assert "warning: 3 of the 10 validation faces were trained on" in done.stderr


@pytest.mark.parametrize(
    ("flags", "about"),
    [
        (["--data.image-size", "96"], "--data.image-size: "),
        (["--data.crop.scale", "3"], "--data.crop.scale 3.0: "),
        (["--data.drawn-validation", "0"], "--data.drawn-validation 0: "),
        (["--data.train-list", "x"], "--data.train-list x: "),
        (["--out", "nowhere/t.md"], "--out nowhere/t.md: "),
    ],
)
def test_evaluate_feeds_the_network_as_it_was_trained(workdir: Path, flags: list[str], about: str) -> None:
    line = refusal("evaluate", "--workdir", workdir, *flags)
    assert line.startswith(f"error: {about}")
    assert len(line.splitlines()) == 1


def test_predict_draws_and_prints(environment: dict[str, str], workdir: Path, tmp_path: Path) -> None:
    picture, landmarks = draw_face(123_456, 200)
    Image.fromarray(picture).save(tmp_path / "a photo.png")
    box = [str(v) for v in landmark_box(landmarks)]
    arguments = ["--workdir", workdir, tmp_path / "a photo.png", "--boxes", *box, "--draw", tmp_path / "out.png"]
    done = run_command(environment, "predict", *arguments)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["terms"] == "free"
    points = np.array(printed["faces"][0]["landmarks"])
    assert points.shape == (68, 2)
    assert nme(points, landmarks) < 60  # pixels of the image, near the face
    assert shorter_side(tmp_path / "out.png") >= 200
    again = run_command(environment, "predict", *arguments)
    assert again.returncode == 2
    assert "exists" in again.stderr
    other = refusal("predict", "--workdir", workdir, ROOT / "README.md", "--crop")
    assert "README.md: " in other
    assert len(other.splitlines()) == 1


def test_every_subset_of_300w_has_its_rows(environment: dict[str, str], official_tree: Tree, tmp_path: Path) -> None:
    flags = ["--config", "configs/resnet18_mae.py", "--data.dir", official_tree.folder, "--data.image-size", "64"]
    flags += ["--train.epochs", "1", "--train.batch-size", "8", "--train.profile-steps", "1", "1"]
    flags += ["--workdir", tmp_path / "run"]
    done = run_command(environment, "train", *flags)
    assert done.returncode == 0, done.stderr
    assert "afw 12 of 337" in done.stdout  # what is missing is said
    assert "listed in" in done.stdout  # and what was left out
    for ending in ("*.xplane.pb", "perfetto_trace.json.gz"):
        assert len(list((tmp_path / "run" / "profile").rglob(ending))) == 1
    rows = json.loads((tmp_path / "run" / "result.json").read_text())["rows"]
    faces = {(r["split"], r["subset"]): r["faces"] for r in rows if r["predictor"] == "network"}
    assert faces["test_full", "all"] == faces["test_common", "all"] + faces["test_challenging", "all"]
    assert faces["test_challenging", "all"] == 3  # image_092 _01 too
    assert faces["test_private", "indoor"] == 2
    assert faces["test_private", "outdoor"] == 1


@pytest.mark.parametrize(
    ("command", "arguments", "about"),
    [
        ("train", ["--config", "configs/resnet50_smoothl1.py"], "--config configs/resnet50_smoothl1.py: "),
        ("train", ["--config", "configs"], "--config configs: is a folder"),
        ("train", ["--config", "configs/resnet18_mse.py", "--data.markup", "README.md"], "--data.markup: README.md: "),
        ("train", [], "--config: is missing"),
        ("train", [*TINY, "--train.batch-size", "104"], "--train.batch-size 104: "),
        ("evaluate", ["--workdir", "nowhere"], "--workdir nowhere: "),
        ("predict", ["--workdir", "nowhere", "x.jpg", "--crop"], "--workdir nowhere: no such folder"),
        ("predict", ["--workdir", "nowhere"], "no input"),
        ("predict", ["--workdir", "nowhere", "x.mp4", "--format", "pts"], "--format pts: x.mp4 is a video"),
        ("predict", ["--workdir", "nowhere", "--camera", "0", "x.jpg"], "--camera 0: "),
        ("predict", ["--workdir", "nowhere", "*.jpeg"], "*.jpeg: "),
        ("predict", ["--workdir", "nowhere", "x.jpg", "--format", "pts"], "--out: format pts needs a folder"),
        ("predict", ["--workdir", "nowhere", "x.jpg", "--boxes", "1", "2"], "--boxes: 2 numbers"),
        ("predict", ["x.jpg", "y.jpg", "--boxes", "1", "2", "3", "4"], "--boxes: is for one image"),
        ("predict", ["x.jpg", "y.jpg", "--pts", "x.pts"], "--pts: is for one image"),
        ("predict", ["x.mp4", "--boxes", "1", "2", "3", "4"], "--boxes: x.mp4 is a video"),
        ("predict", ["x.mp4", "--crop"], "--crop: x.mp4 is a video"),
        ("predict", ["x.jpg", "--min-score", "2"], "--min-score 2: "),
        ("predict", ["x.jpg", "--min-detector-score", "-1"], "--min-detector-score -1: "),
        ("predict", ["x.jpg", "--max-megapixels", "0"], "--max-megapixels 0: "),
        ("predict", ["x.jpg", "--out", "x.txt"], "--out x.txt: the ending must be .jsonl or .json or .csv"),
        ("predict", ["x.jpg", "--outt", "x.txt"], "--outt: "),
        ("predict", ["--workdir", "README.md", "x.jpg"], "--workdir README.md: is a file, not a run"),
        ("export", ["--workdir", "nowhere", "--format", "onnx", "--out", "x.onnx"], "--workdir nowhere: "),
        ("demo", ["--workdir", "nowhere"], "--workdir nowhere: "),
        ("pack", ["--workdir", "nowhere", "--out", "x.safetensors"], "--workdir nowhere: "),
        ("predict", ["x.jpg", "--pts", "nowhere.pts"], "--pts nowhere.pts: no such file"),
        ("predict", ["x.jpg", "--pts", "README.md"], "--pts: README.md: line "),
        ("report", ["x", "--baseline", "nowhere.json"], "--baseline nowhere.json: no such file"),
        ("train", [*TINY, "--model.init-from", "nowhere"], "--model.init-from nowhere: "),
        ("pack", ["--workdir", "README.md", "--out", "x.safetensors"], "--workdir README.md: "),
        ("predict", ["x.jpg", "--format", "coco", "--out", "x.csv"], "--out x.csv: the ending must be .json"),
        ("predict", ["x.jpg", "--format", "pts", "--out", "x.pts"], "--out x.pts: "),
        ("predict", ["x.jpg", "--resume"], "--resume: needs the --out"),
        ("predict", ["x.mp4", "--resume", "--out", "x.csv"], "--resume: x.mp4 is a video"),
        ("predict", ["x.jpg", "--draw", "x.jpg"], "--draw: x.jpg: "),
        ("aot", ["--config", "configs/resnet18_mse.py"], "--topology: is missing"),
        ("aot", ["--config", "configs/resnet18_mse.py", "--topology", "v9:2x2"], "--topology v9:2x2: "),
    ],
)
def test_a_user_error_is_one_line_about_its_cause(
    tmp_path: Path, command: str, arguments: list[str], about: str
) -> None:
    extra = ["--workdir", str(tmp_path / "run")] if command == "train" else []
    line = refusal(command, *arguments, *extra)
    assert line.startswith(f"error: {about}")
    assert "\n" not in line


def test_a_missing_data_set_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FLAXMARK_DATA", raising=False)
    text = refusal("train", "--config", "resnet50_smooth_l1", "--workdir", tmp_path / "run")
    assert text.startswith("error: --data.dir: ")
    assert "FLAXMARK_DATA" in text
