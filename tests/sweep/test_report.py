"""The report of a sweep from results that were brought here: no images, no checkpoints."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.prepare import Examples
from flaxmark.errors import ConfigError
from flaxmark.schema import to_dict
from flaxmark.sweep.grid import make_cells
from flaxmark.sweep.report.best_faces import move_boxes
from flaxmark.sweep.report.document import verdict
from flaxmark.sweep.report.provenance import changed_fields, config_hash
from flaxmark.sweep.report.records import best_records, main_split, read_records
from flaxmark.sweep.report.statistics import binned_means, mean_interval
from flaxmark.sweep.report.texts import EN, TEXTS
from flaxmark.sweep.report.write import read_baselines, write_table_report

MEAN_FACE = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))


def result_of(cell, error: float) -> dict:
    rng = np.random.default_rng(cell.depth)
    errors = error * rng.uniform(0.5, 1.5, 40)
    figures = {"faces": 40, "loss": error / 1e4, "mse": error / 1e5, "nme": error, "fr_8": 12.0, "auc_8": 33.0}
    constant = figures | {"loss": 0.004, "mse": 0.004, "nme": 18.0}
    faces = {
        "file": [f"{i}.jpg" for i in range(40)],
        "nme": errors.tolist(),
        "mean_face_nme": (10 + errors).tolist(),
        **{trait: rng.uniform(0, 50, 40).tolist() for trait in ("yaw", "size", "sharpness")},
    }
    rows = [
        {"split": split, "subset": "all", "predictor": name} | values
        for split in ("validation", "test_common")
        for name, values in (("network", figures), ("mean face", constant))
    ]
    return {
        "rows": rows,
        "splits": {"validation": {"points": (error * rng.uniform(0.5, 1.5, 68)).tolist(), "faces": faces}},
        "history": [{"epoch": e, "loss": 0.1 / e, "train_loss": 0.12 / e, "nme": error + 3 / e} for e in (1, 2, 3)],
        "cost": {"parameters": 11_246_280, "gflop": 10.9, "images_per_second": 31.5, "seconds": 4321.0},
        "mean_face": MEAN_FACE.tolist(),
        "versions": {"jax": "0.10.2"}, "python": "3.11.7", "device": "1 x cpu", "commit": "abc",
        "data": "ibug_300w", "data_fingerprint": "f" * 64, "terms": "research only",
        "config": to_dict(cell.config(Config(data=DataConfig(dir="/not/here", image_size=64)))),
    }  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    cells = make_cells((18, 50), ("mse", "mae", "smooth_l1"), (0, 1))
    folder = tmp_path / "table"
    for number, cell in enumerate(cells):
        (folder / cell.name).mkdir(parents=True)
        if number < 10:
            (folder / cell.name / "result.json").write_text(json.dumps(result_of(cell, 4 + 0.25 * number)))
    (folder / cells[10].name / "failed.txt").write_text("ended by SIGKILL: out of memory?\n")
    return folder


def test_half_a_sweep_makes_a_report(sweep: Path) -> None:
    paths = write_table_report(sweep, "en", [{"name": "dlib", "validation": {"nme": 5.43}}], lambda _: None)
    text, page = (path.read_text() for path in paths)
    assert text.startswith("# Face alignment test report (64 px)\n")
    assert "10 of 12 cells are done, 1 failed, 1 waiting." in text
    assert "`resnet50_mae_seed1`: failed (ended by SIGKILL: out of memory?)" in text
    # Mean over both seeds beside the original's figure; the second backbone has one seed of smooth_l1.
    assert "| resnet18 | 0.000438 | 4.38 | 0.0032 |" in text
    assert "| resnet50 | 0.000600 | 6.00 | 0.0013 |" in text
    assert "| mean face | 0.004000 | 18.00 | 0.0385 |" in text
    assert "| dlib |  | 5.43 | - | - | - | - | - |" in text
    assert "± " in text
    assert EN.verdict in text
    assert "the data set" in text or "/not/here" in text  # why there are no images of faces
    for name in ("ced", "points", "parts", "traits", "curves", "cost"):
        assert f"./img/{name}.png" in text
        assert (sweep / "img" / f"{name}.png").stat().st_size > 5000
    assert "http" not in re.sub(r"data:image[^\"]*", "", page)
    assert page.count("data:image/png;base64") == 6


def test_the_chinese_report_has_the_original_headings(sweep: Path) -> None:
    path = write_table_report(sweep, "zh", [], lambda _: None)[0]
    assert path.name == "report_zh.md"
    text = path.read_text()
    for heading in (
        "# 面部关键点对齐任务测试报告",
        "## 1 基线模型——ResNet",
        "### 损失函数测试",
        "* mse",
        "* mae",
        "* smooth_l1",
    ):
        assert f"{heading}\n" in text or text.startswith(f"{heading} (64 px)\n")
    assert "* 数据集：ibug-300w，68个面部关键点" in text
    assert "| backbone | best loss | " in text


def test_languages_have_the_same_places_to_fill() -> None:
    for field in dataclasses.fields(EN):
        places = [sorted(re.findall(r"\{\w+\}", str(getattr(texts, field.name)))) for texts in TEXTS.values()]
        assert places[0] == places[1], field.name


def test_the_best_cells_are_chosen_on_validation(sweep: Path) -> None:
    records = read_records(sweep)
    assert [record.name for record in best_records(records)] == ["resnet18_mse_seed0", "resnet50_mse_seed0"]
    assert main_split(records) == "validation"
    assert verdict(records, EN) == EN.verdict
    assert records[0].result is not None
    records[0].result["rows"][0]["mse"] = 0.002  # more than a quarter of the mean face's
    assert "resnet18_mse_seed0" in verdict(records, EN)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"config": {"model": {"depth": 50}}}'])
def test_a_result_that_is_none_is_named(sweep: Path, text: str) -> None:
    (sweep / "resnet18_mse_seed0" / "result.json").write_text(text)
    with pytest.raises(ConfigError, match=r"resnet18_mse_seed0/result\.json.*move it away"):
        read_records(sweep)


def test_folders_and_baselines_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        read_records(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="no cells of a sweep"):
        read_records(tmp_path)
    for text in (
        "{",
        '[{"validation": {}}]',
        '[{"name": "x", "validation": {"nme": "much"}}]',
        '[{"name": "x", "validation": "5.4"}]',
        "[3]",
    ):
        (tmp_path / "others.json").write_text(text)
        with pytest.raises(ConfigError, match=r"others\.json.*it must be a list such as"):
            read_baselines(str(tmp_path / "others.json"))
    assert read_baselines(None) == []


def test_intervals_by_hand() -> None:
    mean, half = mean_interval([6.0, 6.2, 6.4])
    assert mean == pytest.approx(6.2)
    assert half == pytest.approx(4.302653 * 0.2 / 3**0.5, rel=1e-6)  # Student's t of 2 degrees of freedom, 97.5 %
    assert np.isnan(mean_interval([5.0])[1])
    middles, means = binned_means(np.arange(60.0)[::-1], np.repeat([2.0, 1.0], 30), 2)
    assert middles.tolist() == [14.5, 44.5]
    assert means.tolist() == [1.0, 2.0]


def test_configs_have_names_and_differences() -> None:
    plain, other = to_dict(Config()), to_dict(Config(data=DataConfig(image_size=64)))
    assert config_hash(plain) != config_hash(other)
    assert list(changed_fields(other, plain)) == [("data.image_size", 64)]


def test_moved_boxes_move_the_points_the_other_way() -> None:
    landmarks = np.float32([[[0.5, 0.5], [0.75, 0.25]]])
    square = np.float32([[10, 20, 60]])
    examples = Examples(landmarks, square, np.zeros((1, 4), np.float32), square, ["s"], ["p"], ["f"], 16, [b""])
    moved = move_boxes(examples, np.array([[0.15, 0.0, 0.0]]), 1.5)
    np.testing.assert_allclose(moved.crops, [[16, 20, 60]])
    np.testing.assert_allclose(moved.landmarks, [[[0.4, 0.5], [0.65, 0.25]]], atol=1e-6)
    larger = move_boxes(examples, np.array([[0.0, 0.0, 1.0]]), 1.5)
    np.testing.assert_allclose(larger.crops, [[-20, -10, 120]])
    np.testing.assert_allclose(larger.landmarks, [[[0.5, 0.5], [0.625, 0.375]]], atol=1e-6)
