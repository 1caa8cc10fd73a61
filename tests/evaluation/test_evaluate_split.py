"""Rows and table of a split's results."""

import numpy as np
import pytest

from flaxmark.data.prepare.prepare import Examples
from flaxmark.evaluation.evaluate_split import Outputs, format_table, rows_of_split
from flaxmark.faces.markup import IBUG_68
from flaxmark.models.losses import MSE


def test_rows_have_the_mean_face_and_every_subset() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(size=(3, 68, 2)).astype(np.float32)
    names = ["a", "b", "b"]
    nothing = np.zeros((3, 4), np.float32)
    examples = Examples(target, nothing, nothing, nothing, names, names, names, 16, [b""] * 3)
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
