"""A packed network with random weights."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.config.config import Config
from flaxmark.data.config import DataConfig
from flaxmark.faces.crop import CropDefinition
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.models.heads import DenseHead
from flaxmark.models.losses import MSE, GaussianNLL
from flaxmark.models.model import make_model
from flaxmark.models.refined_head import RefinedHead, change_layer
from flaxmark.models.resnet import ResNetConfig
from flaxmark.schema import to_dict
from flaxmark.storage.packed import pack

REFINED = RefinedHead("weighted", visible=True, channels=8)


def packed_run(path: Path, depth: int, head: DenseHead, dtype: str = "float32", stored_size: int = 256) -> Path:
    """A small packed file with random weights: predictions depend on the image and on every bias.

    With visibility it predicts sigma, too.
    """
    config = Config(
        data=DataConfig(markup=FIVE_POINTS, image_size=64, crop=CropDefinition(stored_size=stored_size)),
        model=ResNetConfig(
            depth=depth,  # type: ignore[arg-type]
            dtype=dtype,  # type: ignore[arg-type]
            head=head,
            sigma=head.visible,
        ),
        loss=GaussianNLL() if head.visible else MSE(),
    )
    model = make_model(config.model, 5, folded=True)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((5, 2), jnp.float32))["params"]
    rng = np.random.default_rng(0)

    def fill(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        width = 0.1 if len(leaf.shape) == 1 else np.sqrt(0.7 / np.prod(leaf.shape[:-1]))
        return rng.normal(0, width, leaf.shape).astype(np.float32)

    params = jax.tree.map(fill, shapes)
    params["head"]["bias"] = rng.uniform(-0.1, 1.1, 10).astype(np.float32)  # places all over the crop
    if isinstance(head, RefinedHead):
        # Small moves: each look multiplies rounding errors.
        for look in range(1, head.looks + 1):
            params[change_layer(look, "landmarks")]["kernel"] *= 0.03
    if head.visible:
        params["head_sigma"]["bias"] -= 3  # crop units
    pack({"params": params, "batch_stats": {}}, {"config": to_dict(config), "terms": "free", "sigma_scale": 1.5}, path)
    return path
