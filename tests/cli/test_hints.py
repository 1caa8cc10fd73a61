"""Hints in the errors about wrong flags."""

import pytest
from helpers.commands import refusal


@pytest.mark.parametrize(
    ("command", "arguments", "hint"),
    [
        ("predict", ["a.jpg", "--outt", "x"], "did you mean --out?"),
        ("pack", ["--workdri", "x"], "did you mean --workdir?"),
        ("predict", ["a.jpg", "--model", "x"], "did you mean --workdir?"),
        ("predict", ["a.jpg", "--output", "x"], "did you mean --out?"),
        ("predict", ["a.jpg", "-o", "x"], "-o: no such flag; did you mean --out?"),
        *[
            ("predict", [flag, "a.jpg"], "give the inputs without a flag")
            for flag in ("--input", "--inputs", "--image")
        ],
        ("predict", ["--image", "a.jpg"], "give the inputs without a flag"),
        ("report", ["--workdir", "x"], "give the folder without a flag"),
        ("evaluate", ["--run", "x"], "did you mean --workdir?"),
        ("evaluate", ["--split", "test"], "did you mean --faces?"),
        ("sweep", ["--config", "quickstart", "--loss", "mae"], "did you mean --losses?"),
        *[
            ("train", ["--config", "quickstart", *wrong.split()], f"did you mean {right}")
            for wrong, right in {
                "--loss mse": "--loss.name, one of mse, ",
                "--loss=mse": "--loss.name, one of mse, ",
                "--loss.mse": "--loss.name mse?",
                "--model resnet50": "--model.name, one of resnet?; resnet has --model.depth, ",
                "--augment none": "--data.augment.name, one of ",
                "--head coords": "--model.head.name, one of ",
                "--lr 1": "--optimizer.learning-rate?",
                "--train.lr 1": "--optimizer.learning-rate?",
                "--batch_size 8": "--train.batch-size?",
                "--epochs 3": "--train.epochs?",
                "--seed 3": "--train.seed?",
                "--image-size 128": "--data.image-size?",
                "--augment.blur 1": "--data.augment.blur?",
                "--data-dir x": "--data.dir?",
                "--no-remat": "--model.no-remat?",
                "--no-model.sigma": "--model.no-sigma?",
                "--optimizer adam": "--optimizer.name or ",
            }.items()
        ],
        ("train", ["--config", "quickstart", "--loss.pixels", "9"], "belongs to --loss.name wing"),
        ("train", ["--config", "quickstart", "--optimizer.learning-rat", "1"], "--optimizer.learning-rate?"),
        ("train", ["--config", "quickstart", "--loss.name", "hinge"], "mse, mae, smooth_l1, wing"),
        ("train", ["--config", "quickstart", "--model.name", "vgg"], "resnet"),
        ("predict", ["a.jpg", "--format", "xml"], "coco, csv, jsonl, pts"),
        ("predict", ["a.jpg", "--crop", "--pts", "x"], "--pts"),
        ("train", ["--config", "quickstart", "--data.markup", "pyproject.toml"], "pyproject.toml: is not a JSON file"),
    ],
)
def test_a_bad_flag_has_a_hint(command: str, arguments: list[str], hint: str) -> None:
    assert hint in refusal(command, *arguments)
