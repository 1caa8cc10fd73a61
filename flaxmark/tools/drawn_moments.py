"""Moments of the outputs of a packed network's BatchNorms, measured on drawn faces: what training needs of them."""

import dataclasses
import itertools
from contextlib import closing

import jax
import jax.numpy as jnp

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.input.feed import TrainingFeed
from flaxmark.data.input.network_input import make_training_images
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.inference.network import Network
from flaxmark.models.batch_norm import Moments
from flaxmark.models.model import make_model
from flaxmark.schema import from_dict
from flaxmark.system.devices import make_mesh
from flaxmark.training.memory import Faces, choose_form

FACES, BATCH = 2048, 32


def measure_moments(network: Network, count: int = FACES) -> Moments:
    """Moments over augmented drawn faces, as the network would see them in training; the same at every call.

    Raises ConfigError where the network's points cannot be drawn.
    """
    config: Config = from_dict(network.metadata["config"], Config)
    data = dataclasses.replace(
        config.data, name="drawn_faces", dir=None, train_list=None, validation_list=None, test_list=None,
        drawn_train=count, drawn_validation=1,
    )  # fmt: skip
    config = dataclasses.replace(config, data=data, train=TrainConfig(epochs=1, batch_size=min(BATCH, count)))
    examples = load_split(prepare(data), "train")
    mesh = make_mesh(jax.local_devices()[:1])
    form = choose_form(config, Faces(count, examples.region_size, float(examples.crops[:, 2].max())), 0, mesh)
    feed = TrainingFeed(examples, config, mesh, form)
    images = make_training_images(data, form.largest_side)
    model = make_model(config.model, data.markup.num_points, folded=True)
    measured = jax.jit(lambda variables, faces, batch: model.norm_outputs(variables, images(faces, batch)["image"]))
    with closing(feed.batches()) as batches:
        found = [
            measured(network.variables, feed.faces, batch) for batch in itertools.islice(batches, count // BATCH or 1)
        ]
    return _joined(found)


def _joined(parts: list[Moments]) -> Moments:
    """Moments of batches of equal size together."""

    def is_norm(tree: Moments) -> bool:
        return "var" in tree

    def join(*norms: Moments) -> Moments:
        means, variances = (jnp.stack([norm[name] for norm in norms]) for name in ("mean", "var"))
        return {"mean": means.mean(axis=0), "var": variances.mean(axis=0) + means.var(axis=0)}

    joined: Moments = jax.tree.map(join, *parts, is_leaf=is_norm)
    return joined
