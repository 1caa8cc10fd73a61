"""A trained network as prediction runs it: BatchNorm folded, compiled for a few sizes of batch."""

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.input.network_input import make_upright_images
from flaxmark.errors import ConfigError
from flaxmark.faces.markup import Markup, flip_landmarks
from flaxmark.models.batch_norm import Variables, fold_batch_norm
from flaxmark.models.confidence import doubt, face_score
from flaxmark.models.model import make_model
from flaxmark.models.operations import Operations, make_operations
from flaxmark.schema import check_bounds, from_dict
from flaxmark.storage.checkpoint import load_best
from flaxmark.storage.packed import SUFFIX, load_packed
from flaxmark.system.devices import compile_step, make_mesh

# Trained on drawn faces alone, for any use: docs/model_card.md.
SHIPPED = Path(__file__).parent / "weights" / "resnet18_drawn.safetensors"

# One compiled program each; a batch is padded up to the next of these.
BATCH_SIZES = (1, 8, 32)

Outputs = dict[str, Any]


def make_forward(config: Config, operations: Operations, flip: bool) -> Any:
    """The network's forward pass on crops.

    Args:
        config: Of its run.
        operations: The form of its mathematics.
        flip: Also look at the mirrored crop, and take the mean.

    Returns:
        `(folded variables, crops [n, size, size, 3] in [0, 255]) -> outputs`: `landmarks` `[n, num_points, 2]` in crop
        units and, of a network with sigma, `sigma` `[n, num_points]` in crop units.
    """
    markup = config.data.markup
    model = make_model(config.model, markup.num_points, operations=operations, folded=True)

    def look(variables: Variables, crops: jax.Array) -> Outputs:
        prediction, _ = model.apply(variables, config.data.normalize(crops / 255), False)
        sigma = {} if prediction.log_sigma is None else {"sigma": jnp.exp(prediction.log_sigma)}
        return {"landmarks": prediction.landmarks, **sigma}

    def look_twice(variables: Variables, crops: jax.Array) -> Outputs:
        seen, mirrored = look(variables, crops), look(variables, crops[:, :, ::-1])
        means = {"landmarks": (seen["landmarks"] + flip_landmarks(mirrored["landmarks"], markup)) / 2}
        if "sigma" in seen:
            means["sigma"] = (seen["sigma"] + mirrored["sigma"][:, np.array(markup.flip_order)]) / 2
        return means

    return look_twice if flip else look


def _compile_forward(config: Config, flip: bool) -> Any:
    """`(variables, faces) -> outputs`, for the first local device: a handful of faces is not worth splitting."""
    mesh = make_mesh(jax.local_devices()[:1])
    operations = make_operations(mesh.devices.flat[0].platform, gradients=False)
    crops, forward = make_upright_images(config.data), make_forward(config, operations, flip)
    return compile_step(lambda variables, faces: forward(variables, crops(faces)), mesh, "jit", updates=False)


class Network:
    """A trained network on the first local device.

    Attributes:
        config: Of the run.
        metadata: Of the checkpoint.
        variables: With BatchNorm folded into the convolutions.
    """

    def __init__(self, checkpoint: str | Path | None = None, flip: bool = False) -> None:
        """Load it.

        Args:
            checkpoint: A run's workdir, or a file of scripts/pack.py; None: the model that comes with flaxmark.
            flip: Look at each face and its mirror image.

        Raises:
            ConfigError: No checkpoint there, or one that cannot be; a mark-up that cannot be mirrored.
        """
        checkpoint = Path(checkpoint or SHIPPED)
        if checkpoint.suffix == SUFFIX:
            self.variables, self.metadata = load_packed(checkpoint)
        else:
            variables, self.metadata = load_best(checkpoint)
            self.variables = fold_batch_norm(variables)
        self.config: Config = from_dict(self.metadata["config"], Config)
        self._check(checkpoint)
        if flip and self.markup.flip_order is None:
            raise ConfigError(f"flip: the mark-up {self.markup.name} does not say what points become in the mirror")
        self._forward = _compile_forward(self.config, flip)

    def _check(self, checkpoint: Path) -> None:
        """Refuse a checkpoint that says of itself what cannot be."""
        try:
            check_bounds(self.config)
        except ConfigError as error:
            raise ConfigError(f"{checkpoint}: its config cannot be used: {error}") from error
        if not isinstance(self.metadata.get("terms"), str):
            raise ConfigError(f"{checkpoint}: does not say under which terms its training faces may be used")
        scale = self.metadata.get("sigma_scale") if self.config.model.sigma else 1.0
        score = self.metadata.get("face_score", {"middle": 0.0, "width": 1.0})
        numbers = [scale, *((score.get("width"), score.get("middle")) if isinstance(score, dict) else (None,))]
        finite = all(isinstance(number, float) and math.isfinite(number) for number in numbers)
        if not finite or min(numbers[:2]) <= 0:
            raise ConfigError(f"{checkpoint}: its sigma_scale or face_score is missing or no number that can be")

    def in_float32(self) -> "Network":
        """The same weights, looking once at each face and computing in float32, as exported programs do."""
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, model=dataclasses.replace(self.config.model, dtype="float32"))
        other._forward = _compile_forward(other.config, flip=False)
        return other

    @property
    def data(self) -> DataConfig:
        """How faces become its input."""
        return self.config.data

    @property
    def markup(self) -> Markup:
        """What its points are."""
        return self.config.data.markup

    def run(self, regions: np.ndarray, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Look at faces, in batches of fixed sizes.

        Args:
            regions: uint8 `[n, height, width, 3]`: a part of an image around each face, as `geometry.cut_region` cuts
                it, black beyond its right and lower edge. A program is compiled for each height and width.
            crops: float32 `[n, 3]`: left, top, side of the faces' crops in pixels of their regions.

        Returns:
            As `make_forward`; empty without faces. `sigma` is scaled to the errors on the validation faces, and there
            is a `score` float64 `[n]` of how likely each crop holds a face, in [0, 1], where the network has learnt it.
        """
        outputs: list[dict[str, np.ndarray]] = []
        for start in range(0, len(crops), BATCH_SIZES[-1]):
            faces = {"pixels": regions, "crop": crops}
            batch = {name: array[start : start + BATCH_SIZES[-1]] for name, array in faces.items()}
            count = len(batch["crop"])
            padded = next(size for size in BATCH_SIZES if size >= count)
            said = self._forward(self.variables, {name: _pad(array, padded) for name, array in batch.items()})
            outputs.append({name: np.asarray(values)[:count] for name, values in said.items()})
        joined = {name: np.concatenate([said[name] for said in outputs]) for name in (outputs[0] if outputs else ())}
        if "sigma" in joined:
            if "face_score" in self.metadata:
                joined["score"] = face_score(doubt(joined["sigma"]), self.metadata["face_score"])
            joined["sigma"] = joined["sigma"] * np.float32(self.metadata["sigma_scale"])
        return joined

    def run_images(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Look at images that are crops already.

        Args:
            images: uint8 or float32 `[n, size, size, 3]` in [0, 255]; sampled pixel by pixel at the network's size.

        Returns:
            As `run`.
        """
        whole = np.array([0, 0, images.shape[1]], np.float32)
        return self.run(images, np.tile(whole, (len(images), 1)))


def _pad(array: np.ndarray, count: int) -> np.ndarray:
    """More rows, of zeros, up to a number."""
    if len(array) == count:
        return array
    padded = np.zeros((count, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded
