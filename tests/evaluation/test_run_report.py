"""What an evaluation refuses before it predicts a face; the rest is in tests/cli/test_end_to_end.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flaxmark.config.config import Config
from flaxmark.data.prepare.prepare import Prepared
from flaxmark.errors import CheckpointError, DataError
from flaxmark.evaluation.run_report import evaluate_run
from flaxmark.schema import to_dict


def evaluate(monkeypatch: pytest.MonkeyPatch, workdir: Path, counts: dict[str, int], **metadata: Any) -> None:
    """Evaluate a run whose checkpoint has this metadata, on splits of so many faces."""
    stored = {"config": to_dict(Config()), "mean_face": np.full((68, 2), 0.5).tolist()} | metadata
    monkeypatch.setattr("flaxmark.evaluation.run_report.load_evaluator", lambda *_: (None, 0, stored))
    evaluate_run(workdir, Prepared(workdir, "csv", "", counts, [], {}, "unknown", workdir, workdir, 16))


def test_training_faces_alone_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(monkeypatch, tmp_path, {"train": 3})
    assert caught.value.field == "data.dir"


@pytest.mark.parametrize("mean_face", [None, [[0.5, 0.5]] * 5, [[0.5], 0.5], "x", [[float("nan"), 0.5]] * 68])
def test_a_checkpoint_without_a_mean_face_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mean_face: Any
) -> None:
    with pytest.raises(CheckpointError) as caught:
        evaluate(monkeypatch, tmp_path, {"test": 3}, mean_face=mean_face)
    assert caught.value.file == tmp_path
