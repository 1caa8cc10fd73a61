"""Every choice of a run as frozen data; the resolved values are written beside the checkpoint."""

import dataclasses
import importlib.util
import inspect
import os
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import typeguard

from flaxmark.errors import ConfigError
from flaxmark.faces.crop import CropDefinition
from flaxmark.faces.markup import IBUG_68, Markup
from flaxmark.faces.markup_files import markup_from_json, markup_to_json

Depth = Literal[18, 34, 50, 101, 152]
LossName = Literal["mse", "mae", "smooth_l1", "wing", "soft_wing", "log_cosh", "nll"]
DataName = Literal["ibug_300w", "dlib", "pts", "csv", "coco", "drawn_faces"]
OptimizerName = Literal["adam", "adamw"]
ScheduleName = Literal["constant", "cosine", "step"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes of a training face, all off at their defaults; drawn uniformly from each range."""

    rotation: float = 0.0
    """Largest rotation to either side, degrees."""
    scale: float = 0.0
    """Largest relative change of the face's size: 0.2 is 0.8 to 1.2 times."""
    shift: float = 0.0
    """Largest shift along each axis, in sides of the crop."""
    flip: bool = False
    """Mirror half of the faces, with the landmarks renamed."""
    brightness: float = 0.0
    """Largest amount added to all pixels, where 1 is white minus black."""
    contrast: float = 0.0
    """Largest relative change of contrast about the mean: 0.3 is 0.7 to 1.3 times."""
    saturation: float = 0.0
    """Largest relative change of saturation; 1 reaches from grey to double."""
    blur: float = 0.0
    """Largest standard deviation of a Gaussian blur applied to half of the faces, in 1/100 of the crop's side."""
    occlusion: float = 0.0
    """Largest side of a random patch that hides part of half of the faces, in sides of the crop."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which faces, and how they become the network's input."""

    name: DataName = "ibug_300w"
    """300-W: ibug_300w (official layout), dlib (its XML packaging). Own faces: pts (pictures with .pts beside them),
    csv (file, x0, y0 ..), coco (keypoints JSON). drawn_faces needs no files."""
    markup: Markup = IBUG_68
    """How many points a face has and what they are: ibug_68, five_points, wflw_98, or a JSON file."""
    dir: str | None = None
    """The data set's own folder; for ibug_300w also found through the environment variable FLAXMARK_DATA."""
    prepared_dir: str | None = None
    """Where prepared faces are kept; the default is flaxmark/ in the user's cache folder."""
    train_list: str | None = None
    """Train on exactly the faces named in this file (paths relative to data.dir, one a line; for csv and coco such a
    file of faces)."""
    validation_list: str | None = None
    """Validate on exactly the faces of this file; goes with data.train-list."""
    test_list: str | None = None
    """For csv and coco: the file of test faces."""
    strict: bool = False
    """Stop at the first bad picture or annotation instead of listing it in the report."""
    max_megapixels: float = 64.0
    """Pictures above this many decoded megapixels are refused."""
    drawn_train: int = 4000
    """For drawn_faces: how many training faces to draw."""
    drawn_validation: int = 200
    """For drawn_faces: how many validation faces to draw; as many again are test faces."""
    drawn_size: int = 160
    """For drawn_faces: side of the drawn picture, pixels."""
    crop: CropDefinition = CropDefinition()
    """From face box to crop."""
    image_size: int = 224
    """Side of the network's input, pixels; at least 64."""
    pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB in [0, 1]."""
    pixel_std: tuple[float, float, float] = IMAGENET_STD
    """Divides RGB after the mean is subtracted."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training faces."""
    residency: Literal["auto", "device", "stream"] = "auto"
    """Where training faces are: device (all of them decoded in the device's memory, which is the host's on a CPU),
    stream (read and decoded for each batch), or auto (in memory where they take at most half of what is free)."""

    def normalize(self, image: Any) -> Any:
        """RGB in [0, 1] to what the network is fed: float32 `[..., 3]`, an array or a tensor."""
        shape = (1,) * (len(image.shape) - 1) + (3,)
        mean, std = (np.array(value, np.float32).reshape(shape) for value in (self.pixel_mean, self.pixel_std))
        return (image - mean) / std


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network."""

    depth: Depth = 50
    """ResNet-18, 34 (basic blocks), 50, 101 or 152 (bottlenecks)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What convolutions compute in; parameters and BatchNorm statistics are always float32."""
    zero_init_residual: bool = False
    """Start the last BatchNorm scale of each block at 0, so that every block starts as the identity."""
    batch_norm_group: int | None = None
    """Normalise over groups of this many examples instead of the global batch (ghost BatchNorm)."""
    sigma: bool = False
    """Also predict how far off each point may be: one more output a point, trained by loss.name nll."""
    remat: bool = False
    """Compute the inside of each block again in the backward pass instead of keeping it: less memory, more time."""
    init_from: str | None = None
    """Start from the weights in a .safetensors or .pth file (torchvision's or timm's names) or in a run's workdir."""
    kernel_init: Literal["he_normal", "uniform"] = "he_normal"
    """Convolutions start as in torchvision (he_normal) or a bare PyTorch layer (uniform, about half as large)."""
    head_init_scale: float = 0.1
    """The head's kernel starts at this multiple of LeCun's normal initialisation."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What training minimises and what chooses the best checkpoint."""

    name: LossName = "smooth_l1"
    """mse, mae, smooth_l1, wing, soft_wing, log_cosh, in crop units; nll goes with model.sigma."""
    beta: float = 1.0
    """smooth_l1: where it turns from quadratic to linear, crop units; 1 is mse / 2 on errors below 1."""
    pixels: float = 256.0
    """wing, soft_wing, log_cosh: errors count in pixels of a crop of this side, as their constants are published."""

    @property
    def title(self) -> str:
        """Its name, with what is part of it."""
        return self.name + (f" (beta {self.beta:g})" if self.name == "smooth_l1" else "")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move."""

    name: OptimizerName = "adamw"
    """adam, or adamw with decoupled weight decay."""
    learning_rate: float = 1e-3
    """The highest rate, per step."""
    schedule: ScheduleName = "cosine"
    """constant, cosine (to 0 at the end), or step (halved every optimizer.halve-every epochs)."""
    warmup_steps: int = 0
    """Steps of linear warm-up before the schedule."""
    halve_every: float = 10.0
    """step schedule: epochs between halvings."""
    weight_decay: float = 0.0
    """adamw: decay per step over the learning rate."""
    decay_all: bool = False
    """Decay biases and BatchNorm too; otherwise only kernels."""
    clip_norm: float | None = None
    """Gradients of a larger global norm are scaled down to it."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    epochs: int = 20
    """Passes over the training faces."""
    batch_size: int = 32
    """Faces per step over all devices and processes."""
    accumulate: int = 1
    """Split each batch into this many parts computed one after another, to save memory; BatchNorm sees a part."""
    seed: int = 0
    """Decides initial weights, order and augmentation."""
    ema_decay: float | None = None
    """Average the weights with this decay per step and validate the average; none keeps the raw weights."""
    compile: Literal["jit", "pmap"] = "jit"
    """jit over a mesh of all devices, or pmap."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl and TensorBoard."""
    save_every: int | None = None
    """Also save every so many steps, besides each validation."""
    validate_every: int | None = None
    """Epochs between validations, each with a checkpoint; by default as many as have at least 200 steps. The last epoch
    is always validated."""
    eval_batch_size: int = 64
    """Faces per evaluation step over all devices and processes."""
    profile_steps: tuple[int, int] | None = None
    """First and last step to profile, from 1; the profile goes to profile/ in the workdir."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()


def cache_dir() -> Path:
    """The user's cache folder for prepared data sets and compiled programs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flaxmark"


def load_config(path: str | Path, depth: Depth | None = None) -> Config:
    """Run a config file and return what its `get_config()` returns.

    Args:
        path: A Python file of the user's own (it is executed).
        depth: Passed on where its `get_config` takes a depth; by default it has its own.

    Returns:
        The config.

    Raises:
        ConfigError: No such file, or it does not define `get_config() -> Config`.
    """
    path = Path(path)
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        near = sorted(p.as_posix() for p in folder.glob("*.py")) if folder.is_dir() else []
        listing = f"; there are {', '.join(near)}" if near else ""
        raise ConfigError(f"--config {path}: {'is a folder' if path.is_dir() else 'no such file'}{listing}")
    spec = importlib.util.spec_from_file_location(f"flaxmark_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--config {path}: not a Python file; name one that defines get_config()")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        make = getattr(module, "get_config", None)
        takes_depth = make is not None and "depth" in inspect.signature(make).parameters
        config = make and (make(depth) if takes_depth and depth is not None else make())
    except Exception as error:  # the file is the user's program
        raise ConfigError(f"--config {path}: {type(error).__name__}: {error}") from error
    if not isinstance(config, Config):
        raise ConfigError(f"--config {path}: must define get_config() that returns a flaxmark Config")
    return config


def to_dict(config: "Config") -> dict[str, Any]:
    """A config as plain dictionaries, lists, numbers and strings, ready for JSON."""
    values = dataclasses.asdict(config)
    values["data"]["markup"] = markup_to_json(config.data.markup)
    return values


def from_dict(values: dict[str, Any], kind: type = Config) -> Any:
    """Rebuild a config from `to_dict`'s form, as it is read from a checkpoint.

    Args:
        values: Field -> value.
        kind: The dataclass to build.

    Returns:
        An instance of `kind`.

    Raises:
        ConfigError: A field that this version does not know, or a value of another type.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"a config's {kind.__name__} must be an object with its fields, not {values!r:.40}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"config field {unknown[0]!r} of {kind.__name__} is not known to this version of flaxmark")
    built: dict[str, Any] = {}
    for name, value in values.items():
        field_type = fields[name].type
        if field_type is Markup:
            value = _markup(value)
        elif dataclasses.is_dataclass(field_type) and isinstance(field_type, type):
            value = from_dict(value, field_type)
        built[name] = tuple(value) if isinstance(value, list) else value
        try:
            typeguard.check_type(built[name], field_type)
        except typeguard.TypeCheckError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"config field {name!r} of {kind.__name__} is {value!r:.40}: {reason}") from error
    return kind(**built)


def _markup(value: Any) -> Markup:
    try:
        return markup_from_json(value)
    except ValueError as error:
        raise ConfigError(f"config field 'markup': {error}") from error


DEPTHS: tuple[int, ...] = get_args(Depth)
