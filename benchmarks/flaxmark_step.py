"""flaxmark's real train step on a fixed batch, to be timed."""

import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.config import LossConfig, ModelConfig, OptimizerConfig
from flaxmark.conv import Operations, make_operations
from flaxmark.losses import make_loss
from flaxmark.models import make_model
from flaxmark.optimizer import make_optimizer, make_schedule
from flaxmark.sharding import compile_step, make_mesh, shard_batch
from flaxmark.steps import make_train_step
from flaxmark.train_state import init_train_state


class FlaxmarkStep:
    """A state and a batch; each call of `seconds` is one update."""

    def __init__(
        self, depth: int, size: int, batch: int, operations: Operations | None = None, *, options: bool = True
    ) -> None:
        """Build it, without compiling.

        Args:
            depth: Of the ResNet.
            size: Side of the pictures, pixels.
            batch: Faces a step.
            operations: Of the network; flaxmark's choice for this backend by default.
            options: Compile with flaxmark's options, else with XLA's defaults.
        """
        self._mesh = mesh = make_mesh()
        config = ModelConfig(depth=depth)  # type: ignore[arg-type]
        model, loss = make_model(config, operations=operations), make_loss(LossConfig("smooth_l1", beta=0.02))
        schedule = make_schedule(OptimizerConfig(), 57, 1140)
        optimizer = make_optimizer(OptimizerConfig(weight_decay=0.01), schedule)
        step = make_train_step(model, loss, optimizer, schedule, steps_per_epoch=57)
        self._step = compile_step(step, mesh, "jit", updates=True) if options else jax.jit(step, donate_argnums=0)
        face = np.full((68, 2), 0.5, np.float32)
        self._state = jax.jit(lambda key: init_train_state(key, model, optimizer, face, False))(jax.random.key(0))
        random = np.random.default_rng(0)
        images = random.normal(size=(batch, size, size, 3)).astype(np.float32)
        faces = {"image": images, "landmarks": random.random((batch, 68, 2), np.float32)}
        self._batch = shard_batch(faces | {"mask": np.ones(batch, np.float32)}, mesh, "jit")

    def seconds(self) -> float:
        """Make one update, wait for it, and say how long it took; the first one compiles."""
        return self.seconds_of(1)

    def seconds_of(self, batches: Iterable[Mapping[str, Any]] | int) -> float:
        """Make an update with each of these batches, as the training loop does, and wait for the last one.

        Args:
            batches: From the pipeline; or how many updates to make with the fixed batch.

        Returns:
            Seconds of all.
        """
        start = time.perf_counter()
        for batch in [self._batch] * batches if isinstance(batches, int) else batches:
            self._state, metrics = self._step(self._state, shard_batch(batch, self._mesh, "jit"))
        float(metrics["loss"])
        return time.perf_counter() - start

    def compiled_text(self) -> str:
        """The step as XLA runs it."""
        return self._step.lower(self._state, self._batch).compile().as_text()  # type: ignore[attr-defined]


def gflop_per_step(depth: int, size: int, batch: int) -> float:
    """GFLOP of an update as XLA counts it with plain convolutions; backward is taken as twice forward."""
    plain = make_model(ModelConfig(depth=depth), operations=make_operations("tpu"))  # type: ignore[arg-type]
    variables = jax.eval_shape(plain.init, jax.random.key(0), jax.ShapeDtypeStruct((68, 2), jnp.float32))
    images = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
    lowered = jax.jit(lambda v, x: plain.apply(v, x, False)).lower(variables, images)
    return 3 * (lowered.cost_analysis() or {})["flops"] / 1e9


def matrix_product(side: int = 3072) -> float:
    """GFLOP/s of a square float32 product: the ceiling."""
    a = jnp.ones((side, side))
    product = jax.jit(jnp.matmul)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times[1:]) / 1e9
