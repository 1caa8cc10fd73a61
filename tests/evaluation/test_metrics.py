import json
import os
from pathlib import Path

import numpy as np
import pytest

from flaxmark.evaluation.metrics import (
    auc,
    ced,
    count_left_out,
    coverage,
    failure_rate,
    nme,
    normalising_distance,
    point_errors,
    sigma_scale,
    summarize,
    visibility_figures,
    visible_auc,
)


def face() -> np.ndarray:
    points = np.zeros((68, 2))
    points[:, 0] = np.linspace(0, 1, 68)
    points[36], points[45] = (0.2, 0.4), (0.8, 0.4)
    points[10] = 0.5, 0.9
    return points


def test_nme_by_hand() -> None:
    # Every point is off by a 3-4-5 triangle of 0.05; the outer eye corners are 0.6 apart.
    target = face()[None]
    predicted = target + np.array([0.03, 0.04])
    np.testing.assert_allclose(point_errors(predicted, target), 0.05)
    np.testing.assert_allclose(nme(predicted, target), [100 * 0.05 / 0.6])
    np.testing.assert_allclose(nme(np.stack([predicted] * 2), np.stack([target] * 2)), [[100 * 0.05 / 0.6]] * 2)


def test_normalisers_by_hand() -> None:
    points = np.zeros((68, 2))
    points[36:42] = 0.3, 0.4
    points[42:48] = 0.6, 0.8
    points[0], points[16] = (0.0, 0.0), (1.0, 0.25)
    assert normalising_distance(points, "interocular") == pytest.approx(0.5)
    assert normalising_distance(points, "interpupil") == pytest.approx(0.5)
    assert normalising_distance(points, "box") == pytest.approx(np.sqrt(0.8))
    assert normalising_distance(points, "box", box=np.array([1, 3, 3, 11])) == pytest.approx(4)
    with pytest.raises(ValueError, match="interocular, interpupil, box"):
        normalising_distance(points, "eyes")


def test_failure_rate_auc_and_ced_by_hand() -> None:
    errors = np.array([0.0, 4.0, 8.0, 16.0])
    assert failure_rate(errors, 8) == 25  # a face at the threshold has not failed
    assert auc(errors, 8) == pytest.approx(100 * (1 + 0.5) / 4)
    assert ced(errors, np.array([0, 3.9, 4, 8, 20])).tolist() == [25, 25, 50, 75, 100]
    assert ced(np.array([3.0]), np.array([2, 3])).tolist() == [0, 100]


def test_auc_is_the_area_under_ced() -> None:
    errors = np.random.default_rng(0).gamma(4, 1.5, 500)
    thresholds = np.linspace(0, 10, 200_001)
    area = np.trapezoid(ced(errors, thresholds), thresholds) / 10
    assert auc(errors, 10) == pytest.approx(area, abs=1e-3)


def test_nothing_has_no_figures() -> None:
    assert np.isnan(failure_rate(np.zeros(0), 8))
    assert np.isnan(auc(np.zeros(0), 8))


def test_summary_by_hand() -> None:
    # Outer corners 0.5 apart, means of the eyes 0.4, box 1 x 0.64; all points of a face are off by the same distance.
    points = np.full((68, 2), 0.5)
    points[36:48, 0] = 0.25, *[0.31] * 5, *[0.69] * 3, 0.75, *[0.69] * 2
    points[0], points[8], points[16] = (0, 0), (0.5, 0.64), (1, 0)
    target = np.stack([points] * 4)
    distances = np.array([0.02, 0.0425, 0.0525, 0.1])  # 4, 8.5, 10.5 and 20 % of the corners' distance
    predicted = target + distances[:, None, None] * np.array([0.6, -0.8])
    assert summarize(predicted, target, np.array([1.0, 2, 3, 6])) == pytest.approx(
        {
            "faces": 4,
            "loss": 3,
            "mse": (0.02**2 + 0.0425**2 + 0.0525**2 + 0.1**2) / 8,
            "nme": 10.75,
            "nme_interpupil": 100 * 0.05375 / 0.4,
            "nme_box": 100 * 0.05375 / 0.8,
            "fr_8": 75,
            "auc_8": 12.5,
            "fr_10": 50,
            "auc_10": 18.75,
        }
    )


def test_summary_counts_every_face_once() -> None:
    target = np.stack([face(), face()])
    predicted = target + np.array([0.006, 0.06])[:, None, None] * np.array([1, 0])
    row = summarize(predicted, target, np.array([1.0, 3.0]))
    assert row["faces"] == 2
    assert row["loss"] == 2
    assert row["nme"] == pytest.approx(5.5)
    assert row["fr_8"] == 50


@pytest.mark.skipif("FLAXMARK_DATA" not in os.environ, reason="FLAXMARK_DATA is not set")
def test_published_figures_of_spiga_on_300w_private() -> None:
    # SPIGA's own evaluation of these predictions: NME 2.0306, FR@7 0.1667 over the box (indoor, outdoor
    # 2.0346, 2.0266), AUC@7 71.0033 by the exact area; inter-ocular 3.4295 and FR@8 0.6667 from the same file.
    faces = json.loads(Path(os.environ["FLAXMARK_DATA"], "parity", "private_600.json").read_text())
    keys = faces[0].keys()
    prediction_key = next(key for key in keys if "pred" in key)
    target = np.array([f["ground_truth"] for f in faces])
    predicted = np.array([f[prediction_key] for f in faces])
    left, top, width, height = np.array([f["box"] for f in faces], np.float64).T
    box = np.stack([left, top, left + width, top + height], axis=-1)
    errors = nme(predicted, target, "box", box=box)
    assert round(errors.mean(), 4) == 2.0306
    assert round(errors[:300].mean(), 4) == 2.0346
    assert round(errors[300:].mean(), 4) == 2.0266
    assert [round(float(np.percentile(errors, p)), 4) for p in (90, 95, 99)] == [2.7881, 3.0778, 3.8342]
    assert round(auc(errors, 7), 4) == 71.0033
    assert round(failure_rate(errors, 7), 4) == 0.1667
    interocular = nme(predicted, target)
    assert round(interocular.mean(), 4) == 3.4295
    assert round(failure_rate(interocular, 8), 4) == 0.6667


def test_sigma_that_is_half_of_the_errors_is_doubled() -> None:
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.01, 0.1, (400, 68))
    target = rng.uniform(size=(400, 68, 2))
    predicted = target + 2 * sigma[..., None] * rng.standard_normal(target.shape)
    assert sigma_scale(predicted, target, sigma) == pytest.approx(2, rel=0.01)
    shares = np.array([0.0, 0.5, 0.68, 0.95])
    np.testing.assert_allclose(coverage(predicted, target, 2 * sigma, shares), shares, atol=0.01)
    # A circle of half the radius: 1 - (1 - p)^(1/4).
    np.testing.assert_allclose(coverage(predicted, target, sigma, shares), 1 - (1 - shares) ** 0.25, atol=0.01)


def test_a_point_on_the_circle_is_inside() -> None:
    target = face()[None]
    assert coverage(target, target, np.ones((1, 68)), np.array([0.0])).tolist() == [1]


def test_missing_points_by_hand() -> None:
    target = np.stack([face()] * 3)
    distances = np.array([0.03, 0.06, 0.09])
    predicted = target + distances[:, None, None] * np.array([1, 0])
    predicted[0, 1] += 5  # of a point that is missing
    target[0, 1] = target[2, 36] = np.nan
    # The outer corners are 0.6 apart: 5 and 10 %; the third face has none.
    np.testing.assert_allclose(nme(predicted, target), [5, 10, np.nan])
    assert np.isnan(point_errors(predicted, target)).sum() == 2
    row = summarize(predicted, target, np.ones(3))
    assert (row["nme"], row["fr_8"], row["auc_10"]) == (pytest.approx(7.5), 50, pytest.approx(25))
    assert row["faces"] == 3
    assert row["mse"] == pytest.approx((67 * 0.03**2 + 68 * 0.06**2 + 67 * 0.09**2) / 202 / 2)
    left_out = {"missing_points": 2, "without_interocular": 1, "without_interpupil": 1, "without_box": 0}
    assert count_left_out(target) == left_out
    assert np.isnan(summarize(predicted[2:], target[2:], np.ones(1))["fr_8"])


def test_a_prediction_that_is_not_a_number_is_not_taken_for_a_missing_point() -> None:
    target = np.stack([face()] * 2)
    predicted = target.copy()
    predicted[1, 5] = np.nan
    assert np.isnan(summarize(predicted, target, np.ones(2))["nme"])


def test_sigma_is_calibrated_on_the_points_that_are_there() -> None:
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.01, 0.1, (400, 68))
    target = rng.uniform(size=(400, 68, 2))
    predicted = target + 2 * sigma[..., None] * rng.standard_normal(target.shape)
    gone = rng.uniform(size=(400, 68)) < 0.3
    predicted[gone] += 10
    target[gone] = np.nan
    shares = np.array([0.0, 0.5, 0.68, 0.95])
    assert sigma_scale(predicted, target, sigma) == pytest.approx(2, rel=0.01)
    np.testing.assert_allclose(coverage(predicted, target, 2 * sigma, shares), shares, atol=0.01)


def test_area_under_the_roc_of_visibility_by_hand() -> None:
    # Seen: 3 and 1; hidden: 1 and 0. Of the four pairs 3 are in order, and one is equal.
    logits, visible = np.array([[3.0, 1.0, 9.0], [1.0, 0.0, -9.0]]), np.array([[1, 1, np.nan], [0, 0, np.nan]])
    assert visible_auc(logits, visible) == pytest.approx(87.5)
    assert visibility_figures(logits, visible) == {"visible_auc": pytest.approx(87.5), "hidden": pytest.approx(50)}
    assert visibility_figures(logits, np.ones((2, 3))) == {}
    assert visibility_figures(logits, np.full((2, 3), np.nan)) == {}
