"""What a fresh network says about where things are, and how its stages move in the first steps of a run.

Three tables: for plain and weighted pooling of each stage's features, the share of the landmarks' variance that a
linear map explains on other faces (R2), and the effective rank; then loss, gradient norm and relative update of each
stage.

python benchmarks/first_steps.py --config table --model.depth 50 --data.image-size 144 \
    --data.train-list train.txt --data.validation-list val.txt [--model.residual-init one] [--steps 300]
"""

import dataclasses
import itertools
import sys
from contextlib import closing
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from flaxmark.cli.main import run_main
from flaxmark.cli.runs import RunArguments, config_from_arguments
from flaxmark.config import Config
from flaxmark.config.checks import check_config
from flaxmark.data.input.feed import TrainingFeed
from flaxmark.data.prepare.prepare import load_split, prepare
from flaxmark.faces.missing import mean_points
from flaxmark.models.heads import Pyramid, WeightedPooling, as_pyramid
from flaxmark.models.model import Layers, ModelConfig
from flaxmark.models.operations import make_operations
from flaxmark.system.devices import make_mesh
from flaxmark.training.memory import Faces, choose_form
from flaxmark.training.optimizer import make_optimizer, make_schedule
from flaxmark.training.train_state import init_train_state
from flaxmark.training.train_step import make_gradient

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclasses.dataclass(frozen=True)
class Arguments(RunArguments):
    """A run, and how much of it."""

    batches: int = 40
    """Batches of training faces that features are computed from; three quarters of them to fit."""
    steps: int = 112
    """Training steps."""


class Backbone(nn.Module):
    """The feature maps of a network, with BatchNorm as in training."""

    config: ModelConfig

    @nn.compact
    def __call__(self, images: jax.Array) -> Pyramid:
        """Feature maps for the head."""
        operations = make_operations(jax.default_backend(), gradients=False)
        return as_pyramid(self.config.features(images, Layers(jnp.dtype("float32"), operations, True, False, None)))


def linear_readout(features: Float[np.ndarray, "faces n"], points: Float[np.ndarray, "faces m"]) -> tuple[float, float]:
    """R2 on the last quarter of the faces of the best ridge regression on the others, and the effective rank."""
    fit = len(features) * 3 // 4
    centred, target = features - features[:fit].mean(axis=0), points - points[:fit].mean(axis=0)
    gram = centred[:fit] @ centred[:fit].T
    singular = np.linalg.eigvalsh(gram).clip(0)

    def r2(ridge: float) -> float:
        solved = np.linalg.solve(gram + ridge * np.trace(gram) / fit * np.eye(fit), target[:fit])
        error = centred[fit:] @ (centred[:fit].T @ solved) - target[fit:]
        return float(1 - np.square(error).sum() / np.square(target[fit:]).sum())

    return max(r2(ridge) for ridge in RIDGES), float(singular.sum() ** 2 / np.square(singular).sum())


def print_readouts(config: Config, feed: TrainingFeed, batches: int) -> None:
    """A line for each stage and pooling."""
    network = Backbone(config.model)
    variables = jax.jit(lambda key: network.init(key, jnp.zeros((1, 64, 64, 3))))(jax.random.key(config.train.seed))

    @jax.jit
    def pooled(images: jax.Array) -> dict[tuple[str, str], jax.Array]:
        pyramid, _ = network.apply(variables, images, mutable=["batch_stats"])
        pooling = WeightedPooling()
        found: dict[tuple[str, str], jax.Array] = {}
        for stage, x in enumerate(pyramid, start=1):
            weights = pooling.init(jax.random.key(1), x[:1])
            found[f"stage{stage}", "mean"] = x.mean(axis=(1, 2))
            found[f"stage{stage}", "weighted"] = jnp.asarray(pooling.apply(weights, x))
        return found

    features: dict[tuple[str, str], list[np.ndarray]] = {}
    points = []
    with closing(feed.batches()) as source:
        for batch in itertools.islice(source, batches):
            for name, x in pooled(batch["image"]).items():
                features.setdefault(name, []).append(np.asarray(x, np.float64))
            points.append(np.asarray(batch["landmarks"], np.float64).reshape(len(x), -1))
    print("| stage | pooling | R2 | effective rank |\n|---|---|---:|---:|")
    for (stage, kind), values in features.items():
        r2, rank = linear_readout(np.concatenate(values), np.concatenate(points))
        print(f"| {stage} | {kind} | {r2:.3f} | {rank:.1f} |", flush=True)


def by_stage(tree: dict[str, Any]) -> dict[str, jax.Array]:
    """Norm of the parameters of each stage."""
    groups: dict[str, list[Any]] = {}
    for name, own in tree.items():
        groups.setdefault(name.split("_")[0], []).append(own)
    return {stage: optax.tree.norm(own) for stage, own in groups.items()}


def print_steps(config: Config, feed: TrainingFeed, faces: int, mean_face: np.ndarray, steps: int) -> None:
    """A line every ten steps: loss, and of each stage the gradient's norm and the update beside the parameters."""
    from flaxmark.models.model import make_model

    per_epoch = faces // config.train.batch_size
    model = make_model(config.model, config.data.markup.num_points)
    schedule = make_schedule(config.optimizer, per_epoch, config.train.epochs * per_epoch)
    optimizer, gradient = make_optimizer(config.optimizer, schedule), make_gradient(model, config.loss, 1)
    state = jax.jit(lambda key: init_train_state(key, model, optimizer, mean_face, False))(
        jax.random.key(config.train.seed)
    )

    @jax.jit
    def step(state: Any, batch: Any) -> tuple[Any, Any]:
        loss, stats, grads = gradient(state, batch)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = dataclasses.replace(state, step=state.step + 1, params=params, batch_stats=stats, opt_state=opt_state)
        return new, (loss, by_stage(grads), by_stage(updates), by_stage(state.params))

    losses: list[float] = []
    with closing(feed.batches()) as source:
        for number, batch in enumerate(itertools.islice(source, steps), start=1):
            state, (loss, grads, updates, params) = step(state, batch)
            losses.append(float(loss))
            if number == 1:
                print(f"\n| step | loss | {' | '.join(grads)} |\n|---:|---:|{'---:|' * len(grads)}")
            if number == 1 or number % 10 == 0:
                cells = [f"{float(grads[s]):.4f} ({100 * float(updates[s] / params[s]):.2f} %)" for s in grads]
                print(f"| {number} | {np.mean(losses):.4f} | {' | '.join(cells)} |", flush=True)
                losses.clear()


def main(arguments: list[str]) -> None:
    """Print the tables."""
    parsed = config_from_arguments(Arguments, __doc__, arguments)
    config = parsed.run
    check_config(config, 1)
    prepared, mesh = prepare(config.data), make_mesh()
    examples = load_split(prepared, "train")
    faces = Faces(len(examples), examples.region_size, float(examples.crops[:, 2].max()))
    # Images are made before the step, also on an accelerator.
    form = dataclasses.replace(choose_form(config, faces, 1, mesh), in_step=False)
    feed = TrainingFeed(examples, config, mesh, form)
    print_readouts(config, feed, parsed.batches)
    print_steps(config, feed, len(examples), mean_points(examples.landmarks).astype(np.float32), parsed.steps)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
