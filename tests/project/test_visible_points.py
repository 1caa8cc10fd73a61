"""benchmarks/visible_points.py: the judged faces, and what is reported about them."""

import csv
from types import ModuleType

import numpy as np
import pytest
from helpers.benchmark_modules import benchmark_module

from flaxmark.faces.markup import IBUG_68


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return benchmark_module("visible_points")


def test_judged_faces_name_parts(benchmark: ModuleType) -> None:
    with benchmark.JUDGED.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 19 and {row["part"] for row in rows} <= set(IBUG_68.parts) - {"jaw"}
    assert len({(row["file"], row["part"]) for row in rows}) == len(rows)


def test_hidden_parts_are_compared_with_others(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def face(**parts: float) -> object:
        visible = np.ones(68)
        for name, value in parts.items():
            visible[list(IBUG_68.parts[name])] = value
        return benchmark.Found(np.zeros((68, 2)), visible)

    judged = [("a", "eyes", "sunglasses"), ("b", "eyes", "sunglasses"), ("b", "mouth", "hand")]
    faces = {"a": face(eyes=0.2, mouth=0.8), "b": face(eyes=0.6, mouth=0.1, nose=0.5)}
    benchmark.report_causes(judged, faces, [face(eyes=0.9), face(eyes=0.7)])
    glasses, hand = capsys.readouterr().out.splitlines()
    # Beside them: brows 1, nose 1, mouth 0.8 of a, brows 1 and nose 0.5 of b, whose mouth is hidden too.
    assert glasses == (
        "sunglasses: eyes visible 0.40, other parts 0.86, eyes of 2 other faces 0.80; "
        "the least visible part on 1 of 2 faces"
    )
    assert hand.startswith("hand: mouth visible 0.10, other parts 0.75, mouth of 2 other faces 1.00")
