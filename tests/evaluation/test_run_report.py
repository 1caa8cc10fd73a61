"""What an evaluation refuses before it looks at a face; the rest is in test_end_to_end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flaxmark.config.config import Config
from flaxmark.data.prepare.prepare import Prepared
from flaxmark.errors import ConfigError
from flaxmark.evaluation.run_report import evaluate_run
from flaxmark.schema import to_dict


@pytest.mark.parametrize(
    ("said", "counts", "complaint"),
    [
        ({}, {"train": 3}, "all faces are of the training split"),
        ({"mean_face": None}, {"test": 3}, "no mean face of 68 points"),
        ({"mean_face": [[0.5, 0.5]] * 5}, {"test": 3}, "no mean face of 68 points"),
        ({"mean_face": [[0.5], 0.5]}, {"test": 3}, "no mean face of 68 points"),
        ({"mean_face": "x"}, {"test": 3}, "no mean face of 68 points"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], counts: dict[str, int], complaint: str
) -> None:
    metadata = {"config": to_dict(Config()), "mean_face": np.full((68, 2), 0.5).tolist()} | said
    monkeypatch.setattr("flaxmark.evaluation.run_report.load_evaluator", lambda *_: (None, 0, metadata))
    prepared = Prepared(tmp_path, "csv", "", counts, [], {}, "unknown", tmp_path, tmp_path, 16)
    with pytest.raises(ConfigError, match=complaint) as caught:
        evaluate_run(tmp_path, prepared)
    assert "\n" not in str(caught.value)
