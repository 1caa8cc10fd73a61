"""The benchmark of few labelled faces: its subsets, five-point files, order of runs, tables and plot."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers.benchmark_modules import benchmark_module
from helpers.commands import ROOT
from PIL import Image

from flaxmark.cli.runs import RunArguments, config_from_arguments
from flaxmark.data.drawn import convert_landmarks, draw_face
from flaxmark.data.entries import FaceEntry
from flaxmark.data.readers.csv_files import read_csv_folder
from flaxmark.errors import ConfigError
from flaxmark.faces.crop import landmark_box, square_crop

FILES = [f"afw/{number}.jpg" for number in range(40)]


@pytest.fixture(scope="module")
def few_faces() -> ModuleType:
    return benchmark_module("few_faces")


@pytest.fixture(scope="module")
def report(few_faces: ModuleType) -> ModuleType:
    return sys.modules["few_faces_report"]


def entry(file: str) -> FaceEntry:
    """A face of which the points that five others are made from have places of their own."""
    points = np.full((68, 2), 99.0)
    points[36:42] = [[x, 10] for x in range(6)]
    points[42:48] = [[x, 12] for x in range(20, 26)]
    points[[30, 48, 54]] = [[12, 20], [5, 30], [18, 31.25]]
    return FaceEntry(file, points, None, "afw", file, "train")


def made_up(missing: int = 0) -> list[dict[str, Any]]:
    """Records of whole grids, without the last ones."""
    lines = [
        {"markup": markup, "start": start, "faces": faces, "seed": seed, "nme": nme / faces**0.2 + seed,
         "nme_last_epoch": nme, "nme_mean_face": 20.0 + faces / 1000, "seconds": 60.0}
        for markup in ("ibug_68", "five_points")
        for faces in (10, 1000)
        for seed in (0, 1)
        for start, nme in (("shipped", 6.0), ("random", 18.0))
    ]  # fmt: skip
    return lines[: len(lines) - missing]


def test_subsets_are_nested_fixed_and_distinct(few_faces: ModuleType) -> None:
    small, large = (few_faces.subset(FILES, count, 0) for count in (10, 25))
    assert large[:10] == small and len(set(large)) == 25 and set(large) < set(FILES)
    assert few_faces.subset(reversed(FILES), 10, 0) == small
    assert small[:3] == ["afw/25.jpg", "afw/10.jpg", "afw/33.jpg"]  # on every machine
    assert sorted(few_faces.subset(FILES, 40, 1)) == sorted(FILES) and few_faces.subset(FILES, 10, 1) != small
    without = [file for file in FILES if file != small[2]]
    assert few_faces.subset(without, 9, 0) == small[:2] + small[3:]


def test_five_points_of_68(few_faces: ModuleType, tmp_path: Path) -> None:
    names = ["afw/a, b.jpg", "afw/c.jpg"]
    data, lists = tmp_path / "300w", tmp_path / "lists"
    (data / "afw").mkdir(parents=True)
    lists.mkdir()
    for name in names:
        (data / name).touch()
    text = few_faces.five_point_csv(map(entry, names))
    assert text.splitlines()[0] == "file,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4"
    assert text.splitlines()[2] == (
        "afw/c.jpg,2.5000,10.0000,22.5000,12.0000,12.0000,20.0000,5.0000,30.0000,18.0000,31.2500"
    )
    (lists / "train.csv").write_text(text)
    (lists / "val.csv").write_text(text)
    listing = read_csv_folder(data, 5, str(lists / "train.csv"), str(lists / "val.csv"), None)
    assert [face.file for face in listing.entries if face.split == "train"] == names and not listing.problems
    for face in listing.entries:
        assert np.array_equal(face.landmarks_px, [[2.5, 10], [22.5, 12], [12, 20], [5, 30], [18, 31.25]])


def test_runs_in_order(few_faces: ModuleType) -> None:
    parsed = few_faces.Arguments(sizes=("all", 10), seeds=(3, 4))
    cells = few_faces.grid(parsed, 1836)
    assert [cell.name for cell in cells[:5]] == [
        "ibug_68_shipped_10_seed3", "ibug_68_random_10_seed3", "ibug_68_shipped_10_seed4", "ibug_68_random_10_seed4",
        "ibug_68_shipped_1836_seed3",
    ]  # fmt: skip
    assert len(cells) == 16 and all(cell.markup == "five_points" for cell in cells[8:])
    for sizes in ((0,), (1837,), ()):
        with pytest.raises(ConfigError):
            few_faces.grid(few_faces.Arguments(sizes=sizes), 1836)


@pytest.mark.parametrize("start", ["shipped", "random"])
def test_a_batch_is_not_larger_than_the_subset(few_faces: ModuleType, start: str) -> None:
    cell = few_faces.Cell("ibug_68", start, 5, 0)
    flags = few_faces.run_flags(cell, few_faces.Arguments(), ROOT, Path("lists"), [])
    assert config_from_arguments(RunArguments, None, flags).run.train.batch_size == 5


@pytest.mark.parametrize(("faces", "batch"), [(10, 10), (300, 16)])
def test_a_random_start_has_enough_steps(few_faces: ModuleType, faces: int, batch: int) -> None:
    cell = few_faces.Cell("five_points", "random", faces, 7)
    flags = few_faces.run_flags(cell, few_faces.Arguments(), ROOT, Path("lists"), ["--data.image-size", "64"])
    config = config_from_arguments(RunArguments, None, flags).run
    assert (config.train.batch_size, config.train.min_steps, config.train.seed) == (batch, 600, 7)
    assert config.model.init_from is None and config.data.image_size == 64
    assert config.data.name == "csv" and config.data.markup.num_points == 5


def test_crops_around_five_points_show_as_much_as_those_around_68(few_faces: ModuleType) -> None:
    scales = []
    for markup in ("ibug_68", "five_points"):
        cell = few_faces.Cell(markup, "shipped", 50, 0)
        flags = few_faces.run_flags(cell, few_faces.Arguments(), ROOT, Path("lists"), [])
        scales.append(config_from_arguments(RunArguments, None, flags).run.data.crop.scale)
    points = np.stack([draw_face(seed, 160)[1] for seed in range(20)])
    sides = [
        square_crop(landmark_box(convert_landmarks(points, markup)), scale)[:, 2]
        for markup, scale in zip(("ibug_68", "five_points"), scales, strict=True)
    ]
    assert np.median(sides[1] / sides[0]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("faces", "config"), [(10, "few_faces"), (499, "few_faces"), (500, "shipped_then_real")])
def test_the_shipped_start_is_the_default_that_users_get(few_faces: ModuleType, faces: int, config: str) -> None:
    cell, parsed = few_faces.Cell("ibug_68", "shipped", faces, 0), few_faces.Arguments()
    flags = few_faces.run_flags(cell, parsed, ROOT, Path("lists"), [])
    assert flags[:2] == ["--config", config]
    changed = {flag for flag in flags if flag.startswith("--")}
    assert changed == {
        "--config", "--data.dir", "--data.train-list", "--data.validation-list", "--train.seed", "--workdir"
    }  # fmt: skip
    assert config_from_arguments(RunArguments, None, flags).run.model.init_from == "flaxmark"


def test_lists_of_other_faces_need_another_folder(few_faces: ModuleType, tmp_path: Path) -> None:
    cells = few_faces.grid(few_faces.Arguments(sizes=(2,), seeds=(0,)), 3)
    faces = [entry(file) for file in FILES[:4]]
    few_faces.write_lists(tmp_path / "lists", cells, faces[:3], faces[3:])
    few_faces.write_lists(tmp_path / "lists", cells, faces[:3], faces[3:])
    assert (tmp_path / "lists" / "validation.txt").read_text() == "afw/3.jpg\n"
    chosen = (tmp_path / "lists" / "ibug_68_2_seed0.txt").read_text().splitlines()
    assert chosen == few_faces.subset(FILES[:3], 2, 0)
    five = (tmp_path / "lists" / "five_points_2_seed0.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in five] == chosen
    with pytest.raises(ConfigError) as caught:
        few_faces.write_lists(tmp_path / "lists", cells, faces[:3], faces[:1])
    assert caught.value.field == "workdir"


def test_table(report: ModuleType) -> None:
    text = report.format_table(made_up(missing=1), {"ibug_68": 5.701, "five_points": 6.41}, "nme_last_epoch")
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines()]
    assert [row[0] for row in rows] == ["faces", "---", "10", "1,000", "shipped model as it is", "mean face"]
    assert rows[0][1:3] == ["68 points, from the shipped weights", "68 points, from a random start"]
    assert rows[2][1:] == ["6.00 (6.00, 6.00)", "18.00 (18.00, 18.00)"] * 2
    assert rows[3][4] == "18.00"  # of one seed
    assert rows[4][1:] == ["5.70", "", "6.41", ""] and rows[5][1:] == ["21.00", "", "21.00", ""]


def test_results_of_some_and_of_all_cells(report: ModuleType, tmp_path: Path) -> None:
    for missing, width in ((15, 500), (3, 1000), (0, 1000)):
        lines = made_up(missing)
        lines[0]["nme_last_epoch"] = float("nan")
        report.write_results(tmp_path, lines, {"ibug_68": 5.7, "five_points": 6.41})
        stored = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
        assert stored == [{**lines[0], "nme_last_epoch": None}, *lines[1:]]
        path = tmp_path / "few_faces.png"
        with Image.open(path) as image:
            assert image.width == width
        assert path.stat().st_size < 100_000


def test_record(report: ModuleType) -> None:
    rows = [
        {"split": split, "subset": subset, "predictor": predictor, "nme": nme}
        for split, subset, predictor, nme in (
            ("validation", "all", "network", 5.2),
            ("validation", "all", "mean face", 18.3),
            ("validation", "afw", "network", 6.0),
            ("test", "all", "network", 7.0),
        )
    ]
    result = {
        "rows": rows, "history": [{"nme": 5.2}, {"nme": 5.4}], "epochs": 40, "config": {"train": {"batch_size": 10}},
        "best_step": 20, "cost": {"seconds": 50.0}, "time": {"start": 10.0, "steps": 50.0},
        "versions": {}, "device": "cpu", "commit": None, "date": "2026-11-28",
    }  # fmt: skip
    line = report.record(report.Cell("ibug_68", "shipped", 10, 0), result)
    assert (line["nme"], line["nme_last_epoch"], line["nme_mean_face"], line["seconds"]) == (5.2, 5.4, 18.3, 60.0)
    assert (line["markup"], line["start"], line["faces"], line["seed"]) == ("ibug_68", "shipped", 10, 0)


def test_all_finished_cells_of_a_folder_are_reported(report: ModuleType, tmp_path: Path) -> None:
    cells = [report.Cell("ibug_68", "random", 1815, 1), report.Cell("five_points", "shipped", 10, 0)]
    for number, cell in enumerate(cells):
        (tmp_path / cell.name).mkdir()
        row = {"split": "validation", "subset": "all", "nme": 5.0 + number}
        rows = [row | {"predictor": predictor} for predictor in ("network", "mean face")]
        result = {
            "rows": rows, "history": [{"nme": 5.2}], "epochs": 4, "config": {"train": {"batch_size": 10}},
            "best_step": 20, "cost": {"seconds": 50.0}, "time": {}, "versions": {}, "device": "cpu", "commit": None,
            "date": "2026-11-28",
        }  # fmt: skip
        (tmp_path / cell.name / "result.json").write_text(json.dumps(result))
    (tmp_path / "ibug_68_random_10_seed0").mkdir()  # not finished
    (tmp_path / "other_seed0").mkdir()
    (tmp_path / "other_seed0" / "result.json").write_text("{}")
    found = report.finished_cells(tmp_path)
    assert [(line["markup"], line["start"], line["faces"], line["seed"], line["nme"]) for line in found] == [
        ("five_points", "shipped", 10, 0, 6.0),
        ("ibug_68", "random", 1815, 1, 5.0),
    ]


def test_time_left(few_faces: ModuleType) -> None:
    cells = [few_faces.Cell("ibug_68", "shipped", faces, 0) for faces in (10, 40)]
    assert few_faces.seconds_left([], cells) is None
    assert few_faces.seconds_left(made_up(missing=15), cells) == pytest.approx(60 + 2 * 60)
    assert few_faces.seconds_left(made_up(), []) == 0
