"""Rows and table of a split's results."""

import json

import numpy as np
import pytest

from flaxmark.data.prepare.prepare import Examples
from flaxmark.evaluation.evaluate_split import Outputs, format_results, format_table, remarks, rows_of_split
from flaxmark.faces.markup import IBUG_68
from flaxmark.models.losses import MSE
from flaxmark.system.json_text import json_text


def test_rows_have_the_mean_face_and_every_subset() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(size=(3, 68, 2)).astype(np.float32)
    names = ["a", "b", "b"]
    nothing = np.zeros((3, 4), np.float32)
    examples = Examples(target, nothing, nothing, nothing, target[..., 0] * np.nan, names, names, names, 16, [b""] * 3)
    mean_face = target.mean(0)
    rows = rows_of_split("validation", examples, Outputs(target, np.zeros(3, np.float32)), mean_face, MSE(), IBUG_68)
    assert [(r["subset"], r["predictor"], r["faces"]) for r in rows] == [
        (subset, predictor, n)
        for subset, n in (("all", 3), ("a", 1), ("b", 2))
        for predictor in ("network", "mean face")
    ]
    assert rows[0]["nme"] == 0
    assert rows[1]["loss"] == pytest.approx(np.square(target - mean_face).mean(), rel=1e-5)
    lines = format_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 2 + 6


def examples_of(target: np.ndarray, subsets: list[str]) -> Examples:
    nothing = np.zeros((len(target), 4), np.float32)
    names = [str(number) for number in range(len(target))]
    seen = np.full(target.shape[:2], np.nan)
    return Examples(target, nothing, nothing, nothing, seen, subsets, names, names, 16, [b""] * len(target))


def test_missing_points_are_counted_and_faces_without_a_normaliser_are_left_out_of_its_metrics_alone() -> None:
    rng = np.random.default_rng(1)
    target = rng.uniform(size=(3, 68, 2)).astype(np.float32)
    target[0, 36] = np.nan  # an outer corner, which belongs to an eye
    target[1, [38, 0]] = np.nan  # only the pupil's
    predicted = np.nan_to_num(target) + np.float32([0.03, 0.04])
    rows = rows_of_split(
        "test",
        examples_of(target, ["a"] * 3),
        Outputs(predicted, np.zeros(3)),
        rng.uniform(size=(68, 2)),
        MSE(),
        IBUG_68,
    )
    row = rows[0]
    wanted = {"missing_points": 3, "without_interocular": 1, "without_interpupil": 2, "without_box": 0, "faces": 3}
    assert wanted.items() <= row.items()
    # The error of every point that is there is 0.05.
    widths = [float(np.linalg.norm(target[i, 36].astype(float) - target[i, 45])) for i in (1, 2)]
    assert row["nme"] == pytest.approx(np.mean([5 / width for width in widths]), rel=1e-5)
    eyes = target[2, 36:42].astype(float).mean(0) - target[2, 42:48].mean(0)
    assert row["nme_interpupil"] == pytest.approx(5 / np.linalg.norm(eyes), rel=1e-5)
    boxes = [np.sqrt(np.prod(np.nanmax(face, 0) - np.nanmin(face, 0))) for face in target.astype(float)]
    assert row["nme_box"] == pytest.approx(np.mean([5 / side for side in boxes]), rel=1e-5)
    assert row["mse"] == pytest.approx((0.03**2 + 0.04**2) / 2, rel=1e-4)
    assert np.isfinite(rows[1]["loss"])
    (remark,) = remarks(rows)
    assert "3 missing points" in remark and "1 of 3 faces" in remark and "2 of 3 faces" in remark


def test_nothing_is_said_of_whole_faces_and_a_network_better_than_the_mean_face() -> None:
    target = np.random.default_rng(2).uniform(size=(3, 68, 2)).astype(np.float32)
    rows = rows_of_split(
        "test", examples_of(target, ["a"] * 3), Outputs(target, np.zeros(3)), target.mean(0), MSE(), IBUG_68
    )
    assert remarks(rows) == []
    assert format_results(rows) == format_table(rows)


@pytest.mark.parametrize("corner", [None, 45])
def test_a_network_worse_than_the_mean_face_is_named_with_what_to_do(corner: int | None) -> None:
    target = np.random.default_rng(3).uniform(size=(3, 68, 2)).astype(np.float32)
    mean_face = target.mean(0)
    if corner is not None:  # then no face has an inter-ocular NME, and the box decides
        target[:, corner] = np.nan
    outputs = Outputs(np.nan_to_num(target) + 1, np.zeros(3))
    rows = rows_of_split("test", examples_of(target, ["a", "b", "b"]), outputs, mean_face, MSE(), IBUG_68)
    remark = remarks(rows)[-1]
    assert remark.startswith("worse than the mean face on test (NME ") and "epochs" in remark and "audit" in remark
    assert len(remarks(rows)) == 1 + (corner is not None)
    assert ("| - |" in format_results(rows).replace("  ", "")) == (corner is not None)
    again = json.loads(json_text(rows))
    assert (again[0]["nme"] is None) == (corner is not None)
    assert format_results(again) == format_results(rows)


def test_visibility_is_measured_where_it_is_known_and_predicted() -> None:
    target = np.random.default_rng(3).uniform(size=(2, 68, 2)).astype(np.float32)
    examples = examples_of(target, ["a", "b"])
    examples.visible[0, :4] = [1, 1, 0, 0]  # of the second face nothing is known
    logits = np.zeros((2, 68), np.float32)
    logits[0, :4] = [3, 1, 1, 0]
    outputs = Outputs(target, np.zeros(2), visible_logit=logits)
    rows = rows_of_split("validation", examples, outputs, target.mean(0), MSE(), IBUG_68)
    assert [row.get("visible_auc") for row in rows] == [87.5, None, 87.5, None, None, None]
    assert rows[0]["hidden"] == 50
    assert any("87.5 %" in remark for remark in remarks(rows))
    without = rows_of_split("validation", examples, Outputs(target, np.zeros(2)), target.mean(0), MSE(), IBUG_68)
    assert "visible_auc" not in without[0]
    json_text(rows)
