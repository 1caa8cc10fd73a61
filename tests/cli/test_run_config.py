"""The config of a run that evaluate reads."""

from pathlib import Path

import pytest

from flaxmark.cli.commands.evaluate import run_config
from flaxmark.errors import CheckpointError


def test_evaluate_tells_a_broken_config_from_one_of_an_extension(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    reasons = []
    for text in ('{"loss": {"name": "of_an_extension"}}', "{"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError) as caught:
            run_config(tmp_path)
        assert caught.value.file == tmp_path / "config.json"
        reasons.append(caught.value.reason)
    assert ["FLAXMARK_EXTENSIONS" in reason for reason in reasons] == [True, False]
    assert ["file that training wrote" in reason for reason in reasons] == [False, True]
