"""The config of a run: frozen dataclasses, which are stored with each checkpoint."""

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
    """Optimizer and learning-rate schedule."""

    name: OptimizerName = "adamw"
    """Optimizer: adam, or adamw (Adam with decoupled weight decay)."""
    learning_rate: float = bounded(1e-3, "(0, inf)")
    """Peak learning rate, which the warm-up reaches and the schedule starts from."""
    schedule: ScheduleName = "cosine"
    """Learning-rate schedule: constant, cosine (down to 0), or step (halved every optimizer.halve-every epochs)."""
    warmup_steps: int = bounded(0, "[0, inf) steps")
    """Steps of linear warm-up of the learning rate before the schedule."""
    halve_every: float = bounded(10.0, "(0, inf) epochs")
    """Epochs between halvings of the learning rate by the step schedule."""
    weight_decay: float = bounded(0.0, "[0, inf)")
    """Weight decay of adamw: a step shrinks the parameters by this fraction times the learning rate."""
    decay_all: bool = False
    """Apply weight decay to biases and BatchNorm parameters, too, and not only to kernels."""
    clip_norm: float | None = bounded(None, "(0, inf)")
    """Largest global norm of the gradients; larger gradients are scaled down to it. None: no clipping."""
    backbone_rate: float = bounded(1.0, "[0, inf)")
    """Learning rate of the backbone, as a multiple of optimizer.learning-rate; with 0 only the head learns, and
    with model.freeze-batch-norm the backbone stays as it is."""
    head_rate: float | None = bounded(None, "[0, inf)")
    """Learning rate of a layer of the head for 512 features, as a multiple of optimizer.learning-rate; layers for more
    features have a lower one and layers for fewer a higher one, in inverse proportion to their number. None: the same
    rate as everywhere."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Training loop: batches, checkpoints, validation and logs."""

    epochs: int = bounded(20, "[1, inf)")
    """Number of passes over the training faces."""
    min_steps: int | None = bounded(None, "[1, inf) steps")
    """Minimum number of steps: with few faces there are more epochs than train.epochs. None: no minimum."""
    batch_size: int = bounded(32, "[1, inf)")
    """Training faces per step, in total over all devices and processes."""
    accumulate: int = bounded(1, "[1, inf)")
    """Number of parts of a batch that are computed one after another, to save memory; BatchNorm sees one at a time."""
    seed: int = bounded(0, "[0, 4294967295]")
    """Random seed of the initial weights, the order of the faces and their augmentation."""
    visible_weight: float = bounded(0.1, "[0, inf)")
    """Weight of the loss of visibility, the cross-entropy of each point, beside that of the landmarks; for heads that
    predict it (model.head.visible) and faces that tell it: drawn ones, and COCO keypoints with v = 1 and 2. For nll,
    which is about 1; other losses are much smaller."""
    ema_decay: float | None = bounded(None, "(0, 1)")
    """Decay per step of a moving average of the weights, which is validated and kept instead. None: no average."""
    compile: Literal["jit", "pmap"] = "jit"
    """How steps run on several devices: jit (one program for a mesh of all devices) or pmap (a program per device)."""
    log_every: int = bounded(10, "[1, inf) steps")
    """Steps between lines in metrics.jsonl and points in TensorBoard."""
    save_every: int | None = bounded(None, "[1, inf) steps")
    """Steps between checkpoints other than those after each validation. None: no others."""
    validate_every: int | None = bounded(None, "[1, inf) epochs")
    """Epochs between validations, each with a checkpoint, and after the last. None: as few as make 200 steps."""
    eval_batch_size: int = bounded(64, "[1, 65536]")
    """Faces per evaluation step, in total over all devices and processes."""
    accept_other_data: bool = False
    """Resume although the faces are not those that the run was trained on. The best checkpoint is chosen anew."""
    profile_steps: tuple[int, int] | None = None
    """First and last training step to profile, counted from 1, into profile/ in the workdir. None: no profile."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A run: its data, network, loss, optimizer and training loop."""

    data: DataConfig = DataConfig()
    """Faces, and how they become the network's input."""
    model: ModelConfig = ResNetConfig()
    """Network: its backbone, head and initial weights."""
    loss: Loss = SmoothL1()
    """Training loss."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimizer and learning-rate schedule."""
    train: TrainConfig = TrainConfig()
    """Training loop: batches, checkpoints, validation and logs."""
