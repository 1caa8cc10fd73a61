"""A trained network for prediction: BatchNorm folded, compiled for a few batch sizes."""

import copy
import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.data.input.network_input import make_upright_images
from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.faces.markup import Markup
from flaxmark.inference.face import mean_with_mirrored
from flaxmark.models.batch_norm import Variables
from flaxmark.models.confidence import doubt, face_score
from flaxmark.models.heads import Prediction
from flaxmark.models.model import make_model
from flaxmark.models.operations import Operations, make_operations
from flaxmark.schema import check_bounds
from flaxmark.storage.packed import SUFFIX, load_packed
from flaxmark.storage.stored_config import prediction_config
from flaxmark.system.devices import compile_step, in_32_bits, make_mesh
from flaxmark.system.files import user_path
from flaxmark.system.forks import refuse_fork

# Trained on drawn faces alone, free for any use: docs/results/model_card.md.
SHIPPED = Path(__file__).parent / "weights" / "resnet18_drawn.safetensors"

# A program is compiled for each; a batch is padded to the next of these sizes.
BATCH_SIZES = (1, 8, 32)

Outputs = dict[str, Any]
"""Name of a field of `Face` -> the network's output `[n, ...]`."""


def outputs_of_prediction(prediction: Prediction) -> Outputs:
    """Outputs of a network by name, `sigma` and `visible` themselves; what it does not predict is left out."""
    fields = {field.name: getattr(prediction, field.name) for field in dataclasses.fields(prediction)}
    del fields["earlier"]  # training alone uses it
    log_sigma, logit = fields.pop("log_sigma"), fields.pop("visible_logit")
    fields["sigma"] = None if log_sigma is None else jnp.exp(log_sigma)
    fields["visible"] = None if logit is None else jax.nn.sigmoid(logit)
    return {name: values for name, values in fields.items() if values is not None}


def make_forward(config: Config, operations: Operations, flip: bool) -> Any:
    """Make the forward pass `(folded variables, crops [n, size, size, 3] in [0, 255]) -> outputs` in crop units.

    With `flip` it also runs on the mirrored crops and averages both.
    """
    markup = config.data.markup
    model = make_model(config.model, markup.num_points, operations=operations, folded=True)

    def forward(variables: Variables, crops: jax.Array) -> Outputs:
        prediction, _ = model.apply(variables, config.data.normalize(crops / 255), False)
        return outputs_of_prediction(prediction)

    def forward_twice(variables: Variables, crops: jax.Array) -> Outputs:
        return mean_with_mirrored(forward(variables, crops), forward(variables, crops[:, :, ::-1]), markup)

    return forward_twice if flip else forward


def _compile_forward(config: Config, flip: bool) -> Any:
    """Compile `(variables, faces) -> outputs` for the first local device: a few faces are not worth splitting."""
    mesh = make_mesh(jax.local_devices()[:1])
    operations = make_operations(mesh.devices.flat[0].platform, gradients=False)
    crops, forward = make_upright_images(config.data), make_forward(config, operations, flip)
    return compile_step(lambda variables, faces: forward(variables, crops(faces)), mesh, "jit", updates=False)


def _load(checkpoint: Path) -> tuple[Variables, dict[str, Any]]:
    """Folded variables and metadata of a packed file or of the best checkpoint in a workdir."""
    if checkpoint.suffix == SUFFIX:
        return load_packed(checkpoint)
    from flaxmark.storage.checkpoint import load_best  # imports orbax, which packed files do not need

    variables, metadata = load_best(checkpoint)
    config = prediction_config(metadata["config"])
    return make_model(config.model, config.data.markup.num_points, folded=True).fold(variables), metadata


class Network:
    """A trained network on the first local device.

    Attributes:
        config: The run's config; its augmentation, loss, optimizer and training loop are defaults.
        metadata: The checkpoint's metadata.
        variables: With BatchNorm folded into the convolutions.
    """

    @in_32_bits
    def __init__(self, checkpoint: str | Path | None = None, flip: bool = False) -> None:
        """Load the best checkpoint of a workdir, a file of `flaxmark pack`, or by default the shipped model.

        Raises CheckpointError if it is missing or unusable, and ConfigError if `flip` is set and the landmark scheme
        has no flip_order.
        """
        refuse_fork()
        path = user_path(checkpoint or SHIPPED)
        self.variables, self.metadata = _load(path)
        try:
            self.config = prediction_config(self.metadata["config"])
            check_bounds(self.config)
        except ConfigError as error:
            raise CheckpointError(f"its config cannot be used: {error}", file=path) from error
        _check_metadata(self.metadata, self.config, path)
        if flip and self.markup.flip_order is None:
            raise ConfigError(f"the landmark scheme {self.markup.name} has no flip_order", field="flip")
        self._forward = _compile_forward(self.config, flip)

    def in_float32(self) -> "Network":
        """Copy of the network that computes in float32 and without flip, as exported programs do."""
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, model=dataclasses.replace(self.config.model, dtype="float32"))
        other._forward = _compile_forward(other.config, flip=False)
        return other

    @property
    def data(self) -> DataConfig:
        """The data config of its run."""
        return self.config.data

    @property
    def markup(self) -> Markup:
        """Landmark scheme of its points."""
        return self.config.data.markup

    @functools.cached_property
    def mean_face(self) -> Float[np.ndarray, "points 2"] | None:
        """The mean training face in crop units; None where the checkpoint has none that can be used."""
        points = np.array(self.metadata.get("mean_face") or (), np.float64)
        return points if points.shape == (self.markup.num_points, 2) else None

    @in_32_bits
    def run(
        self, regions: UInt8[np.ndarray, "n height width 3"], crops: Float[np.ndarray, "n 3"]
    ) -> dict[str, np.ndarray]:
        """Run the network on faces, in batches of fixed sizes.

        `regions` hold the part of an image around each face as `faces.crop.cut_region` cuts it, black beyond its right
        and lower edge; `crops` are left, top and side in pixels of the regions. A program is compiled for each height
        and width.

        Returns the outputs `[n, ...]` in crop units, empty without faces. `sigma` is calibrated on the validation
        faces; `score` float64 `[n]` is the probability that a crop holds a face, for networks that were calibrated.
        """
        refuse_fork()
        outputs: list[dict[str, np.ndarray]] = []
        for start in range(0, len(crops), BATCH_SIZES[-1]):
            faces = {"pixels": regions, "crop": crops}
            batch = {name: array[start : start + BATCH_SIZES[-1]] for name, array in faces.items()}
            count = len(batch["crop"])
            padded = next(size for size in BATCH_SIZES if size >= count)
            predicted = self._forward(self.variables, {name: _pad(array, padded) for name, array in batch.items()})
            outputs.append({name: np.asarray(values)[:count] for name, values in predicted.items()})
        joined = {name: np.concatenate([batch[name] for batch in outputs]) for name in (outputs[0] if outputs else ())}
        if "sigma" in joined:
            if "face_score" in self.metadata:
                joined["score"] = face_score(doubt(joined["sigma"]), self.metadata["face_score"])
            joined["sigma"] = joined["sigma"] * np.float32(self.metadata["sigma_scale"])
        return joined

    def run_images(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network on images that are crops already, `[n, size, size, 3]` uint8 or float32 in [0, 255]."""
        whole = np.array([0, 0, images.shape[1]], np.float32)
        return self.run(images, np.tile(whole, (len(images), 1)))


def _pad(array: np.ndarray, count: int) -> np.ndarray:
    """Append rows of zeros up to a number of rows."""
    if len(array) == count:
        return array
    padded = np.zeros((count, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


def _check_metadata(metadata: dict[str, Any], config: Config, checkpoint: Path) -> None:
    """Raise CheckpointError where metadata that predict needs is missing or unusable."""
    if not isinstance(metadata.get("terms"), str):
        raise CheckpointError("does not state the terms of use of its training faces", file=checkpoint)
    scale = metadata.get("sigma_scale") if config.model.sigma else 1.0
    score = metadata.get("face_score", {"middle": 0.0, "width": 1.0})
    numbers = [scale, *((score.get("width"), score.get("middle")) if isinstance(score, dict) else (None,))]
    finite = all(isinstance(number, float) and math.isfinite(number) for number in numbers)
    if not finite or min(numbers[:2]) <= 0:
        raise CheckpointError("its sigma_scale or face_score is missing or invalid", file=checkpoint)
