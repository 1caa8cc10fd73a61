"""Reports of sweeps from their results alone: no faces, no checkpoints."""

import dataclasses
import datetime
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.sweep_results import outside_members, write_half_a_sweep, write_result
from matplotlib.colors import to_hex
from PIL import Image

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.drawn import draw_face
from flaxmark.data.prepare.prepare import Examples
from flaxmark.errors import ConfigError
from flaxmark.sweep.grid import make_cells
from flaxmark.sweep.report.averages import binned_means, mean_interval
from flaxmark.sweep.report.best_cell import move_boxes
from flaxmark.sweep.report.cell_records import read_records
from flaxmark.sweep.report.comparison_plots import marker_of, style
from flaxmark.sweep.report.provenance import changed_fields, config_hash, plain_config
from flaxmark.sweep.report.summary import summary_of
from flaxmark.sweep.report.texts import TEMPLATES, Texts, load_texts
from flaxmark.sweep.report.write import read_baselines, write_table_report

LANGUAGES = ("en", "zh")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Twelve cells, ten of them finished."""
    return write_half_a_sweep(tmp_path / "table")


def write(folder: Path, language: str = "en", baselines: tuple[dict, ...] = ()) -> tuple[str, str]:
    """The written Markdown and HTML."""
    paths = write_table_report(folder, language, baselines, lambda _: None)  # type: ignore[arg-type]
    assert [path.suffix for path in paths] == [".md", ".html"]
    return paths[0].read_text(), paths[1].read_text()


def test_half_a_sweep_makes_a_report(sweep: Path) -> None:
    text, page = write(sweep, "en", ({"name": "dlib", "validation": {"nme": 5.43}},))
    assert text.startswith("# Face alignment test report (64 px)\n")
    assert "10 of 12 cells are done, 1 failed, 1 started." in text
    assert "`resnet50_mae_seed1`: failed (ended by SIGKILL: out of memory?)" in text
    assert "`resnet50_smooth_l1_seed1`: started (epoch 3)" in text
    # Mean over both seeds beside the original's figure; the second network has one seed of smooth_l1.
    assert "| resnet18 | 0.000438 | 4.38 | 0.0032 |" in text
    assert "| resnet50 | 0.000600 | 6.00 | 0.0013 |" in text
    assert "| mean face | 0.004000 | 18.00 | 0.0385 |" in text
    assert "| dlib |  | 5.43 | - | - | - | - | - |" in text
    assert "± " in text
    assert load_texts("en").verdict in text
    assert "/not/here" in text  # why there are no faces
    for name in ("ced", "points", "parts", "traits", "curves", "cost"):
        assert f"./img/{name}.png" in text
        assert 4000 < (sweep / "img" / f"{name}.png").stat().st_size < 60_000
    assert "http" not in re.sub(r"data:image[^\"]*", "", page)
    assert page.count("data:image/png;base64") == 6


SUMMARIES = {
    "en": (
        "**Best cell**: ResNet-18 mse, seed 0",
        "**NME**: 4.00 % on validation (40 faces), mean face 18.00 %",
        "**Run**: 10 of 12 cells; networks: ResNet-18, ResNet-50; losses: mse, mae, smooth_l1; seeds: 0, 1; epochs: 20",
        "**Failures**: 1 failed: resnet50_mae_seed1; 1 not finished yet",
        "**Data**: ibug-300w, 68 points per face",
    ),
    "zh": (
        "**最佳单元**: ResNet-18 mse，种子0",
        "**NME**: validation（40张脸）为4.00 %，平均脸为18.00 %",
        "**内容**: 已完成10/12个单元；backbone：ResNet-18, ResNet-50；",
        "**失败**: 1个失败：resnet50_mae_seed1；另有1个未完成",
        "**数据**: ibug-300w，每张脸68个点",
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_summary_comes_first(sweep: Path, language: str) -> None:
    records, texts = read_records(sweep), load_texts(language)  # type: ignore[arg-type]
    today = datetime.date(2026, 1, 2)
    lines = summary_of(records, texts, today)
    text = "\n".join(f"**{head}**: {line}" for head, line in lines)
    for expected in SUMMARIES[language]:
        assert expected in text
    assert "2026-01-02" in text
    for record in records[:2]:
        assert record.result is not None
        record.result["date"] = f"2026-01-0{record.seed + 1}"
    dates = summary_of(records, texts, today)[-1][1]
    assert dates.index("2026-01-01") < dates.index("2026-01-02")
    # Without a finished cell there is no best one.
    waiting = summary_of([record for record in records if not record.result], texts, today)
    assert len(waiting) == len(lines) - 2


def test_faces_of_cells_are_small_files(sweep: Path) -> None:
    face, _ = draw_face(7, 224)
    Image.fromarray(np.tile(face, (4, 6, 1))).save(sweep / "resnet18_mse_seed0" / "test.png")
    text, page = write(sweep)
    name = "landmark_baseline_resnet18_criterion_mse_0.webp"
    assert f"| 0.0032 | ![](./img/{name}) |" in text
    assert (sweep / "img" / name).stat().st_size < 60_000
    with Image.open(sweep / "img" / name) as image:
        assert image.size == (900, 600)
    assert page.count("data:image/webp;base64") == 1
    assert 'data-cell="resnet18_mse_seed0"' in page


def test_the_chinese_report_has_the_original_headings(sweep: Path) -> None:
    text, _ = write(sweep, "zh")
    assert (sweep / "report_zh.md").is_file()
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


def test_languages_have_the_same_texts_and_places_to_fill() -> None:
    names = [field.name for field in dataclasses.fields(Texts)]
    for language in LANGUAGES:
        assert sorted(tomllib.loads((TEMPLATES / f"texts.{language}.toml").read_text())) == sorted(names)
    texts = [load_texts(language) for language in LANGUAGES]  # type: ignore[arg-type]
    for name in names:
        places = [sorted(re.findall(r"\{\w+\}", str(getattr(text, name)))) for text in texts]
        assert places[0] == places[1], name


def test_styles_of_known_cells(tmp_path: Path) -> None:
    """They stay what they were in earlier reports."""
    for cell in make_cells(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), ("mae", "nll"), (0,)):
        (tmp_path / cell.name).mkdir()
    records = read_records(tmp_path)
    colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00"]
    assert [to_hex(style(record)["color"]) for record in records[::2]] == colours
    assert [(style(record)["linestyle"], marker_of(record)) for record in records[:2]] == [
        ("--", "s"),
        ((0, (3, 1, 1, 1, 1, 1)), "*"),
    ]


@pytest.fixture
def outside() -> Iterator[None]:
    with outside_members():
        yield


def test_an_added_loss_and_network_are_in_the_report(outside: None, tmp_path: Path) -> None:
    cells = make_cells(("tiny_net_16", "resnet18"), ("quartic", "mse"), (0,))
    assert [cell.name for cell in cells][2:] == ["tiny_net_16_quartic_seed0", "tiny_net_16_mse_seed0"]
    for number, cell in enumerate(cells[1:]):
        write_result(tmp_path, cell, 4 + number)
    (tmp_path / cells[0].name).mkdir()
    text, page = write(tmp_path)
    for found in (text, page):
        assert "TinyNet-16" in found
        assert "Baseline model: ResNet, TinyNet" in found
        assert "Losses: mse, quartic" in found
        assert "resnet18_quartic_seed0: waiting" in re.sub("`|</?code>", "", found)
    assert r"l_{n} = (x_{n} - y_{n})^4$$" in text
    assert "lₙ = (xₙ − yₙ)⁴<" in page
    assert "| tiny_net_16 | 0.000500 | 5.00 | - |" in text
    assert "| tiny_net_16 | quartic | 5.00 |" in text
    assert "model.name=tiny_net, model.width=16" in text
    first, *_, last = read_records(tmp_path)
    assert (first.title, last.label) == ("ResNet-18", "TinyNet-16 quartic")
    assert style(first) != style(last)


def test_baselines_that_cannot_be_used(tmp_path: Path) -> None:
    path = str(tmp_path / "others.json")
    for text in (
        "{",
        '[{"validation": {}}]',
        '[{"name": "x", "validation": {"nme": "much"}}]',
        '[{"name": "x", "validation": "5.4"}]',
        "[3]",
    ):
        Path(path).write_text(text)
        with pytest.raises(ConfigError) as refused:
            read_baselines(path)
        assert (refused.value.field, refused.value.value) == ("baseline", path)
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
    plain, other = plain_config(Config()), plain_config(Config(data=DataConfig(image_size=64)))
    assert config_hash(plain) != config_hash(other)
    assert list(changed_fields(other, plain)) == [("data.image_size", 64)]


def test_moved_boxes_move_the_points_the_other_way() -> None:
    landmarks = np.float32([[[0.5, 0.5], [0.75, 0.25]]])
    square = np.float32([[10, 20, 60]])
    box, seen = np.zeros((1, 4), np.float32), np.full((1, 68), np.nan)
    examples = Examples(landmarks, square, box, square, seen, ["s"], ["p"], ["f"], 16, [b""])
    moved = move_boxes(examples, np.array([[0.15, 0.0, 0.0]]), 1.5)
    np.testing.assert_allclose(moved.crops, [[16, 20, 60]])
    np.testing.assert_allclose(moved.landmarks, [[[0.4, 0.5], [0.65, 0.25]]], atol=1e-6)
    larger = move_boxes(examples, np.array([[0.0, 0.0, 1.0]]), 1.5)
    np.testing.assert_allclose(larger.crops, [[-20, -10, 120]])
    np.testing.assert_allclose(larger.landmarks, [[[0.5, 0.5], [0.625, 0.375]]], atol=1e-6)
