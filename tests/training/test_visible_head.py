"""Heads that predict which points are seen: a whole small run, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.networks import one_convolution
from helpers.small_config import small_config
from helpers.small_examples import EXAMPLES

from flaxmark.config import Config
from flaxmark.data.drawn import draw_face
from flaxmark.errors import ConfigError
from flaxmark.inference.predictor import Predictor
from flaxmark.models.heads import DenseHead
from flaxmark.models.resnet import ResNetConfig
from flaxmark.training.loop import train
from flaxmark.training.run_setup import check_visibility


@pytest.mark.usefixtures("quick_runs")
def test_a_run_learns_it_measures_it_and_predicts_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with one_convolution() as network:
        config = small_config(batch_size=8, eval_batch_size=8)
        data = dataclasses.replace(config.data, drawn_train=16)
        head = DenseHead(visible=True)
        result = train(dataclasses.replace(config, data=data, model=network(head=head)), tmp_path)
        rows = [row for row in result["rows"] if row["split"] == "validation" and row["predictor"] == "network"]
        assert 0 <= rows[0]["visible_auc"] <= 100
        assert 0 < rows[0]["hidden"] < 50
        printed = capsys.readouterr().out
        assert "16 of 16 training faces" in printed
        assert "AUC" in printed
        image, landmarks = draw_face(5, 96)
        (face,) = Predictor(tmp_path).predict(image, np.array([[*landmarks.min(0), *landmarks.max(0)]]))
        assert face.visible is not None
        assert face.visible.shape == (68,)
        assert 0 < face.visible.min() <= face.visible.max() < 1


@pytest.mark.parametrize(
    ("known", "weight", "start", "field"),
    [
        (False, 0.1, None, "model.head.visible"),  # nothing would train it
        (True, 0.0, None, "train.visible_weight"),
        (True, 0.1, None, None),
        (False, 0.1, "flaxmark", None),  # it is trained already, perhaps
    ],
)
def test_a_head_that_nothing_trains_is_refused(
    known: bool, weight: float, start: str | None, field: str | None
) -> None:
    config = Config(model=ResNetConfig(depth=18, head=DenseHead(visible=True), init_from=start))
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, visible_weight=weight))
    examples = EXAMPLES if known else dataclasses.replace(EXAMPLES, visible=EXAMPLES.visible * np.nan)
    if field is None:
        check_visibility(config, examples)
        return
    with pytest.raises(ConfigError) as caught:
        check_visibility(config, examples)
    assert caught.value.field == field
    check_visibility(dataclasses.replace(config, model=ResNetConfig(depth=18)), examples)
