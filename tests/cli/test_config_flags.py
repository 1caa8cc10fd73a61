"""Flags for the fields of a run's config."""

from pathlib import Path

import pytest
from helpers.commands import ROOT

from flaxmark.cli.runs import RunArguments, config_from_arguments, default_workdir
from flaxmark.config import MAE
from flaxmark.errors import ConfigError


def test_any_field_is_a_typed_flag() -> None:
    flags = ["--config", str(ROOT / "configs" / "resnet34_mae.py"), "--optimizer.learning-rate", "3e-4"]
    flags += ["--data.augment.no-flip", "--model.depth=18"]
    parsed = config_from_arguments(RunArguments, "", flags)
    assert parsed.run.optimizer.learning_rate == 3e-4
    assert parsed.run.model.variant == "resnet18"
    assert not parsed.run.data.augment.flip
    assert parsed.run.loss == MAE()


@pytest.mark.parametrize(
    ("config", "workdir"),
    [
        ("resnet34_mae", "runs/resnet34_mae"),
        (str(ROOT / "configs" / "resnet34_mae.py"), "runs/resnet34_mae"),
        ("configs/report.py", "runs/report"),
    ],
)
def test_the_workdir_is_named_after_the_config(config: str, workdir: str) -> None:
    parsed = config_from_arguments(RunArguments, "", ["--config", config])
    assert Path(default_workdir(parsed)) == Path(workdir)


@pytest.mark.parametrize(
    ("flags", "field", "hint"),
    [
        (["--optimizer.learning-rat", "1"], "optimizer.learning_rat", "--optimizer.learning-rate"),
        (["--train.epochs", "many"], "train.epochs", ""),
        (["--model.depth", "19"], "model.depth", "152"),
        (["--loss.name", "hinge"], "loss.name", "smooth_l1"),
        (["--train.profile-steps", "1"], "train.profile_steps", ""),
        (["photo.jpg"], None, "photo.jpg"),
    ],
)
def test_bad_flags_are_one_clear_line(flags: list[str], field: str | None, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_arguments(RunArguments, "", flags)
    assert caught.value.field == field
    assert hint in caught.value.reason
    assert "\n" not in str(caught.value)


def test_help_shows_fields_with_units(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        config_from_arguments(RunArguments, "", ["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--data.augment.rotation" in text
    assert "degrees" in text


def test_the_workdir_of_a_config_in_a_folder_has_the_folder_in_its_name(tmp_path: Path) -> None:
    file = tmp_path / "configs" / "sub" / "own.py"
    file.parent.mkdir(parents=True)
    file.write_text((ROOT / "configs" / "resnet18_mae.py").read_text())
    parsed = config_from_arguments(RunArguments, "", ["--config", str(file)])
    assert Path(default_workdir(parsed)) == Path("runs/sub_own")
