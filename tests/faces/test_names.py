"""File names that shells and careless programs stumble over."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import format_pts
from helpers.images import draw, encode

import flaxmark
from flaxmark.data import entries
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.data.readers.csv_files import read_csv_folder
from flaxmark.data.readers.listing import read_listing

NAMES = [
    "two words",
    "Zoë und Jürgen",
    "脸",
    "two\nlines",
    "tab\there",
    "-rf",
    "--help",
    "$(touch pwned)",
    "a;b&c|d",
    "quote'\"`",
    "back\\slash",
    "percent%20%s{0}",
    "*",
    "[ab]?",
    "a" * 251,
    "🙂" * 62,
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "odd names"
    path.mkdir()
    for seed, name in enumerate(NAMES):
        image, points = draw(seed, 120)
        (path / f"{name}.jpg").write_bytes(encode(image, "JPEG"))
        (path / f"{name}.pts").write_bytes(format_pts(points, 0))
    return path


def test_a_folder_of_them_is_prepared(folder: Path, tmp_path: Path) -> None:
    config = DataConfig("pts", dir=str(folder), prepared_dir=str(tmp_path / "prepared"))
    prepared = prepare(config)
    assert prepared.problem_counts() == {}
    found = [file for split in prepared.counts for file in load_split(prepared, split).files]
    assert sorted(found) == sorted(f"{name}.jpg" for name in NAMES)
    assert not (Path.cwd() / "pwned").exists()


def test_a_csv_of_them_is_read(folder: Path) -> None:
    drawn = read_listing(DataConfig("pts", dir=str(folder)), folder).entries
    with (folder / "faces.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([[entry.file, *entry.landmarks_px.ravel()] for entry in drawn])
    listing = read_csv_folder(folder, 68, None, None, None)
    assert not listing.problems
    assert [entry.file for entry in listing.entries] == sorted(entry.file for entry in drawn)


def test_names_that_lead_elsewhere_or_cannot_be(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(encode(draw(0, 120)[0], "JPEG"))
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    row = ["1.5"] * 136
    names = ["../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", "a" * 300 + ".jpg", "x/" * 3000 + "a.jpg", "."]
    with (folder / "faces.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([[name, *row] for name in names])
    listing = read_csv_folder(folder, 68, None, None, None)
    assert not listing.entries
    reasons = [problem.reason for problem in listing.problems]
    # Of an absolute path only the file's name counts.
    assert reasons[:3] == [entries.LEAVES_FOLDER, entries.MISSING, entries.LEAVES_FOLDER]
    assert set(reasons[3:]) <= {entries.MISSING, entries.LEAVES_FOLDER}


def test_predict_reads_them_and_json_keeps_their_names(folder: Path) -> None:
    predictor = flaxmark.Predictor(detector=lambda image: np.array([[10, 10, 100, 100]], float), min_score=0)
    for name in NAMES:
        (face,) = predictor.predict(folder / f"{name}.jpg")
        assert face.landmarks.shape == (68, 2)
        assert json.loads(json.dumps(f"{name}.jpg")) == f"{name}.jpg"
