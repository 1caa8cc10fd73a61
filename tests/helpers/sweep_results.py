"""Results of sweeps that nothing has trained, and a loss and a network that are registered from outside."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.models.losses import Loss
from flaxmark.models.model import ModelConfig
from flaxmark.schema import to_dict
from flaxmark.sweep.grid import Cell, make_cells

MEAN_FACE = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))


def result_of(cell: Cell, error: float) -> dict:
    """A finished cell with a validation NME of `error` percent."""
    rng = np.random.default_rng(len(cell.network))
    errors = error * rng.uniform(0.5, 1.5, 40)
    figures = {"faces": 40, "loss": error / 1e4, "mse": error / 1e5, "nme": error, "fr_8": 12.0, "auc_8": 33.0}
    constant = figures | {"loss": 0.004, "mse": 0.004, "nme": 18.0}
    faces = {
        "file": [f"{i}.jpg" for i in range(40)],
        "nme": errors.tolist(),
        "mean_face_nme": (10 + errors).tolist(),
        **{trait: rng.uniform(0, 50, 40).tolist() for trait in ("yaw", "size", "sharpness")},
    }
    rows = [
        {"split": split, "subset": "all", "predictor": name} | values
        for split in ("validation", "test_common")
        for name, values in (("network", figures), ("mean face", constant))
    ]
    return {
        "rows": rows,
        "splits": {"validation": {"points": (error * rng.uniform(0.5, 1.5, 68)).tolist(), "faces": faces}},
        "history": [{"epoch": e, "loss": 0.1 / e, "train_loss": 0.12 / e, "nme": error + 3 / e} for e in (1, 2, 3)],
        "cost": {"parameters": 11_246_280, "gflop": 10.9, "images_per_second": 31.5, "seconds": 4321.0},
        "mean_face": MEAN_FACE.tolist(),
        "versions": {"jax": "0.10.2"}, "python": "3.11.7", "device": "1 x cpu", "commit": "abc",
        "data": "ibug_300w", "data_fingerprint": "f" * 64, "terms": "research only",
        "config": to_dict(cell.config(Config(data=DataConfig(dir="/not/here", image_size=64)))),
    }  # fmt: skip


def write_result(folder: Path, cell: Cell, error: float) -> None:
    """Its folder below a sweep's, with a result.json."""
    (folder / cell.name).mkdir(parents=True)
    (folder / cell.name / "result.json").write_text(json.dumps(result_of(cell, error)))


def write_half_a_sweep(folder: Path) -> Path:
    """Twelve cells, ten of them finished."""
    cells = make_cells(("resnet18", "resnet50"), ("mse", "mae", "smooth_l1"), (0, 1))
    for number, cell in enumerate(cells[:10]):
        write_result(folder, cell, 4 + 0.25 * number)
    for cell in cells[10:]:
        (folder / cell.name).mkdir()
    (folder / cells[10].name / "failed.txt").write_text("ended by SIGKILL: out of memory?\n")
    (folder / cells[11].name / "metrics.jsonl").write_text('{"kind": "validation", "epoch": 3}\n{"kind": "val')
    return folder


@contextmanager
def outside_members() -> Iterator[None]:
    """The loss `quartic`, and the network `tiny_net` in variants of width 8 and 16, registered for a while."""
    kept = dict(Loss.members), dict(ModelConfig.members)

    @dataclasses.dataclass(frozen=True)
    class Quartic(Loss):
        name = "quartic"

        @property
        def formula(self) -> tuple[str, str]:
            return r"(x_{n} - y_{n})^4", "(xₙ − yₙ)⁴"

    @dataclasses.dataclass(frozen=True)
    class TinyNet(ModelConfig):
        name = "tiny_net"
        width: int = 8

        @property
        def title(self) -> str:
            return f"TinyNet-{self.width}"

        @property
        def variant(self) -> str:
            return f"tiny_net_{self.width}"

        @classmethod
        def variants(cls) -> dict:
            return {f"tiny_net_{width}": {"width": width} for width in (8, 16)}

    try:
        yield
    finally:
        for family, members in zip((Loss, ModelConfig), kept, strict=True):
            family.members.clear()
            family.members.update(members)
