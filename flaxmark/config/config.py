"""Every choice of a run as frozen data; the resolved values are written beside the checkpoint."""

import dataclasses
from typing import Literal

from flaxmark.data.config import DataConfig
from flaxmark.models.losses import Loss, SmoothL1
from flaxmark.models.model import ModelConfig
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import bounded

OptimizerName = Literal["adam", "adamw"]
ScheduleName = Literal["constant", "cosine", "step"]


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move."""

    name: OptimizerName = "adamw"
    """adam, or adamw with decoupled weight decay."""
    learning_rate: float = bounded(1e-3, "(0, inf)")
    """The highest rate, per step."""
    schedule: ScheduleName = "cosine"
    """constant, cosine (to 0 at the end), or step (halved every optimizer.halve-every epochs)."""
    warmup_steps: int = bounded(0, "[0, inf) steps")
    """Steps of linear warm-up before the schedule."""
    halve_every: float = bounded(10.0, "(0, inf) epochs")
    """step schedule: epochs between halvings."""
    weight_decay: float = bounded(0.0, "[0, inf)")
    """adamw: decay per step over the learning rate."""
    decay_all: bool = False
    """Decay biases and BatchNorm too; otherwise only kernels."""
    clip_norm: float | None = bounded(None, "(0, inf)")
    """Gradients of a larger global norm are scaled down to it."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    epochs: int = bounded(20, "[1, inf)")
    """Passes over the training faces."""
    batch_size: int = bounded(32, "[1, inf)")
    """Faces per step over all devices and processes."""
    accumulate: int = bounded(1, "[1, inf)")
    """Split each batch into this many parts computed one after another, to save memory; BatchNorm sees a part."""
    seed: int = bounded(0, "[0, 4294967295]")
    """Decides initial weights, order and augmentation."""
    ema_decay: float | None = bounded(None, "(0, 1)")
    """Average the weights with this decay per step and validate the average; none keeps the raw weights."""
    compile: Literal["jit", "pmap"] = "jit"
    """jit over a mesh of all devices, or pmap."""
    log_every: int = bounded(10, "[1, inf) steps")
    """Steps between lines of metrics.jsonl and TensorBoard."""
    save_every: int | None = bounded(None, "[1, inf) steps")
    """Also save every so many steps, besides each validation."""
    validate_every: int | None = bounded(None, "[1, inf) epochs")
    """Epochs between validations, each with a checkpoint; by default as many as have at least 200 steps. The last epoch
    is always validated."""
    eval_batch_size: int = bounded(64, "[1, 65536]")
    """Faces per evaluation step over all devices and processes."""
    profile_steps: tuple[int, int] | None = None
    """First and last step to profile, from 1; the profile goes to profile/ in the workdir."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ResNetConfig()
    loss: Loss = SmoothL1()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()
