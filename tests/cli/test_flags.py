"""Flags of all commands: the ones of version 0.1 are accepted, and errors in them are one line."""

import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Environment, command_main

from flaxmark.cli.flags import parse_flags
from flaxmark.cli.main import COMMANDS
from flaxmark.cli.runs import RunArguments, config_from_arguments, default_workdir
from flaxmark.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.errors import ConfigError, FlaxmarkError
from flaxmark.faces.markup import IBUG_68
from flaxmark.schema import to_dict

# Every flag of version 0.1 with a value that is not the default.
DATA = """
--data.name csv --data.markup five_points --data.dir x --data.prepared-dir x --data.train-list x
--data.validation-list x --data.test-list x --data.strict --data.max-megapixels 12 --data.drawn-train 5
--data.drawn-validation 6 --data.drawn-size 64 --data.image-size 96 --data.pixel-mean 1 2 3 --data.pixel-std 1 2 3
--data.residency stream --data.crop.scale 2 --data.crop.box source --data.crop.stored-size 128 --data.crop.margin 2
--data.augment.rotation 1 --data.augment.scale 0.1 --data.augment.shift 0.1 --data.augment.flip
--data.augment.brightness 0.1 --data.augment.contrast 0.1 --data.augment.saturation 0.1 --data.augment.blur 0.1
--data.augment.occlusion 0.1
"""
RUN = """
--model.depth 18 --model.dtype bfloat16 --model.residual-init zero --model.batch-norm-group 4 --model.sigma
--model.remat --model.init-from x --model.kernel-init uniform --model.head-init-scale 0.2
--loss.name wing --loss.pixels 128
--optimizer.name adam --optimizer.learning-rate 1e-4 --optimizer.schedule step --optimizer.warmup-steps 5
--optimizer.halve-every 3 --optimizer.weight-decay 1e-4 --optimizer.decay-all --optimizer.clip-norm 1
--train.epochs 2 --train.batch-size 8 --train.accumulate 2 --train.seed 1 --train.ema-decay 0.9 --train.compile pmap
--train.log-every 2 --train.save-every 2 --train.validate-every 2 --train.eval-batch-size 2 --train.profile-steps 1 2
"""
OWN = {
    "train": "--config quickstart --workdir x --debug --distributed",
    "sweep": "--config quickstart --workdir x --debug --depths 18 34 --losses mae --seeds 1 2 --shard-index 1 "
    "--num-shards 3 --jobs 2 --no-estimate --dry-run",
    "aot": "--config quickstart --workdir x --debug --topology v5e:4x4 --chips 4",
    "evaluate": "--workdir x --out x.md --overwrite --debug",
    "audit": "--out x --show 9 --debug",
    "compare": "--systems dlib mesh --split test --out x --timing-faces 9 --overwrite --debug",
    "fit-detector": "--detector lbp --workdir x --faces 9 --debug",
    "report": "runs/table --language zh --baseline x.json --debug",
    "predict": "a.jpg b.jpg --camera 1 --workdir x --detector lbp --min-score 0.1 --min-detector-score 0.1 "
    "--max-megapixels 5 --flip --no-smoothing --format csv --out x.csv --draw x --overwrite --resume --debug",
    "pack": "--workdir x --out x.safetensors --overwrite --debug",
    "export": "--workdir x --format onnx --out x.onnx --overwrite --debug",
    "demo": "--workdir x --port 80 --detector lbp --debug",
    "draw": "--out x.png --faces 16 --seed 1 --size 64 --overwrite --debug",
}
WITH_RUN, WITH_DATA = {"train", "sweep", "aot"}, {"evaluate", "audit", "compare", "fit-detector"}
LIGHT = sorted(set(COMMANDS) - WITH_RUN)


def flags_of(command: str) -> list[str]:
    more = DATA + RUN if command in WITH_RUN else DATA if command in WITH_DATA else ""
    return (OWN[command] + more).split()


def arguments_of(command: str) -> Any:
    """The dataclass of its flags."""
    module = importlib.import_module(f"flaxmark.cli.commands.{command.replace('-', '_')}")
    return RunArguments if command == "train" else module.Arguments


def parse(command: str, arguments: list[str]) -> Any:
    kind = arguments_of(command)
    if command in WITH_RUN:
        return config_from_arguments(kind, None, arguments)
    return parse_flags(kind, arguments, None, kind(DataConfig()) if command == "evaluate" else kind())


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every field."""
    for field in dataclasses.fields(value):
        inner, name = getattr(value, field.name), prefix + field.name
        nested = dataclasses.is_dataclass(inner) and not isinstance(inner, type(IBUG_68))
        yield from leaves(inner, f"{name}.") if nested else [(name, inner)]


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_of_version_0_1_are_accepted(command: str) -> None:
    """Each changes its field, and `--flag=value` is the same."""
    words = flags_of(command)
    parsed = parse(command, words)
    default = parse(command, ["--loss.name", "wing"] if command in WITH_RUN else [])
    before = dict(leaves(default))
    kept = {name.removeprefix("run.") for name, value in leaves(parsed) if before[name] == value}
    named = {word.removeprefix("--").removeprefix("no-").replace("-", "_") for word in words if word.startswith("--")}
    assert not kept & named
    joined: list[str] = []
    for place, word in enumerate(words):
        values = [*words[place + 1 : place + 3], "--", "--"]
        single = word.startswith("--") and not values[0].startswith("--") and values[1].startswith("--")
        if not (joined and joined[-1].endswith("=")):
            joined.append(f"{word}=" if single else word)
        else:
            joined[-1] += word
    assert parse(command, joined) == parsed


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as end:
        command_main(command)(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith(f"usage: flaxmark {command} [-h] ")
    assert lines[2].endswith((".", ";"))
    assert any(line.startswith("Example") for line in lines)
    assert f"  flaxmark {command} " in text
    flags = {word for word in flags_of(command) if word.startswith("--")} - {"--loss.pixels"}
    missing = {flag for flag in flags if f"{flag} " not in text and f"{flag}," not in text}
    assert not missing


def test_parsing_loads_no_jax(environment: Environment) -> None:
    """But for the commands whose flags are a run's, with losses and networks."""
    program = f"""
import contextlib, importlib, io, sys
for name in {[name.replace("-", "_") for name in LIGHT]}:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("flaxmark.cli.commands." + name).main(["--help"])
    print(name, *({{"jax", "tensorflow", "matplotlib", "scipy", "flax", "orbax"}} & set(sys.modules)))
"""
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == [name.replace("-", "_") for name in LIGHT]


@pytest.mark.parametrize(
    ("command", "arguments", "field", "value"),
    [
        ("predict", ["a.jpg", "--outt", "x"], "outt", None),
        ("predict", ["--outt=x", "a.jpg"], "outt", None),
        ("predict", ["a.jpg", "--min-score", "x"], "min_score", "x"),
        ("predict", ["a.jpg", "--camera", "x"], "camera", "x"),
        ("predict", ["a.jpg", "--camera", "3"], "camera", 3),
        ("predict", ["a.jpg", "--out"], "out", None),
        ("predict", ["a.jpg", "--format", "xml"], "format", "xml"),
        ("predict", ["a.jpg", "--boxes"], "boxes", None),
        ("predict", ["a.jpg", "--boxes", "1", "2", "x"], "boxes", "1 2 x"),
        ("predict", ["a.jpg", "--boxes", "1", "2", "3", "4", "--crop"], "boxes", None),
        ("predict", ["a.jpg", "--pts", "x.pts", "--detector", "lbp"], "pts", None),
        ("predict", ["a.jpg", "--crop", "b.jpg"], None, None),
        ("pack", ["--out", "x.safetensors"], "workdir", None),
        ("pack", ["--workdir", "x"], "out", None),
        ("pack", ["--workdir", "x", "--out", "x.zip"], "out", "x.zip"),
        ("export", ["--out", "x.onnx"], "format", None),
        ("export", ["--format", "onnx"], "out", None),
        ("export", ["--format", "onnx", "--out", "x.tflite"], "out", "x.tflite"),
        ("export", ["--format", "savedmodel", "--out", "x.onnx"], "out", "x.onnx"),
        ("audit", ["--data.dir", "x", "--show", "-1"], "show", -1),
        ("compare", ["--data.dir", "x", "--systems", "dlib", "--timing-faces", "-5"], "timing_faces", -5),
        ("sweep", ["--config", "quickstart", "--networks", "resnet18", "--depths", "18"], "networks", None),
        ("sweep", ["--config", "quickstart", "--networks"], "networks", None),
        ("sweep", ["--config", "quickstart", "--depths"], "depths", ()),
        ("sweep", ["--config", "quickstart", "--losses"], "losses", ""),
        ("demo", ["--port", "70000"], "port", 70000),
        ("demo", ["--port", "many"], "port", "many"),
        ("draw", [], "out", None),
        ("draw", ["--out", "x.png", "--faces", "20"], "faces", 20),
        ("draw", ["--out", "x.png", "--seed", "-1"], "seed", -1),
        ("draw", ["--out", "x.png", "--size", "5000"], "size", 5000),
        ("report", [], None, None),
        ("compare", ["--data.dir", "x"], "systems", None),
        ("evaluate", [], "workdir", None),
        ("audit", ["--data.name", "drawn_faces"], "data.name", "drawn_faces"),
        ("fit-detector", ["--data.name", "drawn_faces"], "data.name", "drawn_faces"),
        ("train", [], "config", None),
        ("train", ["--config", "quickstart", "--loss.name", "hinge"], "loss.name", "hinge"),
        ("train", ["--config", "quickstart", "--model.name", "vgg"], "model.name", "vgg"),
        ("train", ["--config", "quickstart", "--model.depth", "19"], "model.depth", "19"),
        ("train", ["--config", "quickstart", "--train.save-every", "often"], "train.save_every", "often"),
        ("train", ["--config", "quickstart", "--train.profile-steps", "1"], "train.profile_steps", "1"),
        ("train", ["--config", "quickstart", "--loss.pixels", "9"], "loss.pixels", None),
        ("sweep", ["--config", "quickstart", "--loss.beta", "2"], "loss.beta", None),
        ("sweep", ["--config", "quickstart", "--model.depth", "18"], "model.depth", None),
        ("sweep", ["--config", "quickstart", "--model.no-sigma"], "model.no_sigma", None),
        ("sweep", ["--config", "quickstart", "--train.seed=3"], "train.seed", None),
        ("sweep", ["--config", "quickstart", "--loss.pixels", "9", "--losses", "mae"], "loss.pixels", None),
        ("sweep", ["--config", "quickstart", "--workdir", "gs://x/y"], "workdir", "gs://x/y"),
        ("aot", ["--config", "quickstart"], "topology", None),
    ],
)
def test_a_bad_flag_is_one_line_about_it(command: str, arguments: list[str], field: str | None, value: Any) -> None:
    with pytest.raises(FlaxmarkError) as caught:
        command_main(command)(arguments)
    assert (caught.value.field, caught.value.value) == (field, value)
    assert "\n" not in str(caught.value)
    assert "│" not in str(caught.value)


def test_a_file_whose_name_starts_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-dash.jpg").touch()
    for arguments in (["-dash.jpg"], ["a.jpg", "-dash.jpg", "--crop"]):
        with pytest.raises(ConfigError, match=r"the file \./-dash\.jpg\?"):
            command_main("predict")(arguments)
    assert parse("predict", ["./-dash.jpg"]).inputs == ("./-dash.jpg",)


def test_numbers_and_repeated_flags() -> None:
    parsed = parse("predict", ["a.jpg", "--boxes", "-1e6", "-2.5", ".5", "4", "--out", "x.csv", "--out", "y.csv"])
    assert parsed.boxes == (-1e6, -2.5, 0.5, 4.0)
    assert parsed.out == "y.csv"
    assert parse("predict", ["--flip", "a.jpg", "b.jpg"]).inputs == ("a.jpg", "b.jpg")


def test_a_config_by_its_name_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parsed = config_from_arguments(RunArguments, "", ["--config", "resnet50_smooth_l1"])
    assert (parsed.run.model.title, parsed.run.loss.name) == ("ResNet-50", "smooth_l1")
    assert default_workdir(parsed) == "runs/resnet50_smooth_l1"
    with pytest.raises(ConfigError) as caught:
        config_from_arguments(RunArguments, "", ["--config", "resnet50_smoothl1"])
    assert caught.value.field == "config"
    assert "resnet50_smooth_l1" in caught.value.reason


@pytest.mark.parametrize("arguments", [["--config"], ["--config", "--workdir", "x"], ["--config="], ["--config", "-h"]])
def test_a_config_flag_without_its_name(arguments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_arguments(RunArguments, "", arguments)
    assert caught.value.field == "config"


def test_names_choose_members_with_their_own_flags() -> None:
    flags = ["--loss.name", "wing", "--loss.pixels", "99", "--model.name=resnet", "--model.depth", "18"]
    run = config_from_arguments(RunArguments, "", flags).run
    assert to_dict(run.loss) == {"name": "wing", "pixels": 99.0}
    assert run.model.variant == "resnet18"
    beta = config_from_arguments(RunArguments, "", ["--loss.beta", "0.5"]).run
    assert to_dict(beta.loss) == {"name": "smooth_l1", "beta": 0.5}
    assert dataclasses.replace(beta, loss=Config().loss) == Config()


def test_help_shows_the_fields_of_the_chosen_member(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for name in ("smooth_l1", "wing"):
        with pytest.raises(SystemExit):
            command_main("train")(["--loss.name", name, "--help"])
        shown.append(capsys.readouterr().out)
    assert ["--loss.beta" in text for text in shown] == [True, False]
    assert ["--loss.pixels" in text for text in shown] == [False, True]


def test_a_sweep_gives_each_loss_its_own_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    sweep = importlib.import_module("flaxmark.cli.commands.sweep")
    monkeypatch.setattr(sweep, "run_sweep", lambda configs, folder, jobs, estimate: found.update(configs) or [])
    flags = [
        "--depths",
        "18",
        "--losses",
        "mae",
        "wing",
        "smooth_l1_0.02",
        "--loss.pixels",
        "99",
        "--train.epochs",
        "3",
    ]
    sweep.main(["--config", "quickstart", "--workdir", str(tmp_path), *flags])
    losses = {cell.loss: to_dict(config.loss) for cell, config in found.items()}
    assert losses == {
        "mae": {"name": "mae"},
        "wing": {"name": "wing", "pixels": 99.0},
        "smooth_l1_0.02": {"name": "smooth_l1", "beta": 0.02},
    }
    assert {config.train.epochs for config in found.values()} == {3}
