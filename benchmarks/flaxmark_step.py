"""flaxmark's real training step on a fixed batch, and its real training loop, for timing."""

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxmark.config import Config, OptimizerConfig, ResNetConfig, SmoothL1
from flaxmark.config.checks import check_config
from flaxmark.data.input.feed import TrainingFeed
from flaxmark.data.input.network_input import InputForm, make_training_images
from flaxmark.data.prepare.prepare import Examples, load_split, prepare
from flaxmark.models.model import make_model
from flaxmark.models.operations import Operations, make_operations
from flaxmark.system.clock import Clock
from flaxmark.system.devices import compile_step, make_mesh, replicate, shard_batch
from flaxmark.system.signals import Interrupted
from flaxmark.training.loop import run_steps
from flaxmark.training.memory import Faces, choose_form, compile_within_memory
from flaxmark.training.optimizer import make_optimizer, make_schedule
from flaxmark.training.run_setup import Run
from flaxmark.training.stop_requests import StopRequests
from flaxmark.training.train_state import init_train_state
from flaxmark.training.train_step import make_train_step
from flaxmark.training.xla_programs import build_programs


class FlaxmarkStep:
    """A state and a batch; each call of `seconds` makes one update."""

    def __init__(
        self, depth: int, size: int, batch: int, operations: Operations | None = None, *, options: bool = True
    ) -> None:
        """Build the step without compiling it.

        `operations` are flaxmark's choice for this backend by default; without `options` XLA's defaults are used.
        """
        self._mesh = mesh = make_mesh()
        config = ResNetConfig(depth=depth)  # type: ignore[arg-type]
        model, loss = make_model(config, operations=operations), SmoothL1(0.02)
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
        """Make one update and return its duration; the first one compiles."""
        start = time.perf_counter()
        self._state, metrics = self._step(self._state, self._batch)
        float(metrics["loss"])
        return time.perf_counter() - start

    def compiled_text(self) -> str:
        """The step as text of the compiled program."""
        return self._step.lower(self._state, self._batch).compile().as_text()  # type: ignore[attr-defined]


WARM_UP = 3
"""Steps before the timed ones."""

RESIDENCY = {"resident": "device", "streamed": "stream"}


class FlaxmarkTraining:
    """A run on this backend with three inputs: `fixed` (one batch on the device), `resident` and `streamed`.

    Attributes:
        about: Device and version.
        compile_seconds: Of `resident` only, because the other steps find part of their work already done.
        memory: Bytes on a device for each input. If the device reports its peak, that is the peak so far, which never
            falls.
    """

    def __init__(self, config: Config, workdir: Path) -> None:
        """Compile the steps, load the faces and make a few steps with each input."""
        check_config(config, jax.device_count())
        examples = load_split(prepare(config.data), "train")
        mesh = make_mesh()
        device = mesh.devices.flat[0]
        self.about = {"version": f"JAX {jax.__version__}", "device": device.device_kind, "platform": device.platform}
        self.about |= {"devices": mesh.size}
        configs = {name: with_residency(config, name) for name in RESIDENCY} | {"fixed": config}
        forms = {name: input_form(configs[name], examples, mesh) for name in RESIDENCY}
        forms["fixed"] = forms["resident"].given()
        programs = build_programs(config, len(examples) // config.train.batch_size, mesh, forms["resident"])
        steps, start = {}, time.perf_counter()
        for name, form in forms.items():
            steps[name] = compile_within_memory(programs, config, mesh, form)
            if name == "resident":
                self.compile_seconds = {name: time.perf_counter() - start}
        mean_face = replicate({"mean_face": examples.landmarks.mean(axis=0)}, mesh)["mean_face"]
        self._state = jax.jit(programs.init, out_shardings=mean_face.sharding)(jax.random.key(0), mean_face)
        self._runs: dict[str, Loop] = {}
        self.memory: dict[str, int] = {}
        for name in ("streamed", "fixed", "resident"):
            feed: Any = None
            if name == "fixed":
                self._batch = first_images(config, self._runs["streamed"])
            else:
                feed = TrainingFeed(examples, configs[name], mesh, forms[name])
                feed.warm_up()
            self._runs[name] = Loop(
                config=configs[name],
                workdir=workdir,
                mesh=mesh,
                train_step=steps[name],
                statistics=programs.statistics,
                evaluation=programs.evaluation,
                examples=examples,
                feed=feed,
                form=forms[name],
                validation=None,  # type: ignore[arg-type]
                mean_face=np.asarray(mean_face),
                state=self._state,
                metadata={},
            )
            self.segment(name, 1, 0)
            self.memory[name] = bytes_held(device, steps[name])

    def segment(self, name: str, steps: int, seconds: float) -> tuple[int, float]:
        """Train for at least `steps` steps and `seconds` after warming up; return the steps made and their seconds."""
        run = self._runs[name]
        run.state = self._state
        watch = Stopwatch(run, steps, seconds)
        if name == "fixed":
            repeat(run, self._batch, watch)
        else:
            with contextlib.suppress(Interrupted):
                run_steps(run, NoCheckpoints(), watch, Clock())  # type: ignore[arg-type]
        self._state = run.state
        return watch.steps, watch.seconds


class Loop(Run):
    """A run without validation."""

    def validates_after(self, step: int) -> bool:
        """Never."""
        return False


class NoCheckpoints:
    """Stand-in for checkpoints that saves nothing."""

    def save(self, *_: Any) -> None:
        """Do nothing."""

    def describe_latest(self) -> str:
        """For the message about a loss that is not finite."""
        return "none"


class Stopwatch(StopRequests):
    """Times the steps after a warm-up, then asks the loop to stop.

    Attributes:
        steps: Number of timed steps.
        seconds: Their duration, until the device had finished them.
    """

    def __init__(self, run: Run, steps: int, seconds: float) -> None:
        """Time at least this many steps and seconds."""
        super().__init__()
        self._run, self._least = run, (steps, seconds)
        self.steps, self.seconds = -WARM_UP, 0.0

    def __call__(self, _: int) -> bool:
        """Whether to stop, asked after each step."""
        self.steps += 1
        if self.steps < 0:
            return False
        if self.steps == 0:
            jax.block_until_ready(self._run.state)
            self._start = time.perf_counter()
        done = self.steps >= self._least[0] and time.perf_counter() - self._start >= self._least[1]
        if done:
            jax.block_until_ready(self._run.state)
            self.seconds = time.perf_counter() - self._start
        return done


def repeat(run: Run, batch: Any, stop_requested: Stopwatch) -> None:
    """Make steps with one batch and nothing else, two of them in flight as in the loop."""
    previous, stop = None, False
    while not stop:
        run.state, metrics = run.train_step(run.state, {}, batch)
        jax.block_until_ready(previous)
        previous, stop = metrics, stop_requested(0)


def with_residency(config: Config, name: str) -> Config:
    """The same run with `resident` or `streamed` faces."""
    residency: Any = RESIDENCY[name]
    return dataclasses.replace(config, data=dataclasses.replace(config.data, residency=residency))


def input_form(config: Config, examples: Examples, mesh: Any) -> InputForm:
    """How a run's training faces reach its step."""
    faces = Faces(len(examples), examples.region_size, float(examples.crops[:, 2].max()))
    return choose_form(config, faces, 0, mesh)


def image_batches(config: Config, feed: TrainingFeed, form: InputForm) -> Generator[Any, None, None]:
    """Batches of images on the device, also where the step itself would make them."""
    make = jax.jit(make_training_images(config.data, form.largest_side))
    with contextlib.closing(feed.batches()) as batches:
        for batch in batches:
            yield make(feed.faces, batch) if form.in_step else batch


def flaxmark_batches(config: Config, examples: Examples, name: str) -> Iterator[Any]:
    """Batches of images of a run with `resident` or `streamed` faces, each one ready."""
    config, mesh = with_residency(config, name), make_mesh()
    form = input_form(config, examples, mesh)
    feed = TrainingFeed(examples, config, mesh, form)
    feed.warm_up()
    return map(jax.block_until_ready, image_batches(config, feed, form))


def first_images(config: Config, run: Run) -> dict[str, Any]:
    """The first batch of a run, as images on the device."""
    with contextlib.closing(image_batches(config, run.feed, run.form)) as batches:
        return shard_batch(next(batches), run.mesh, "jit")


def bytes_held(device: jax.Device, step: Any) -> int:
    """Memory in use on a device: its peak so far if the device reports it, else what a compiled step holds."""
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    held = step.memory_analysis()
    return peak or held.argument_size_in_bytes + held.temp_size_in_bytes


def gflop_per_step(depth: int, size: int, batch: int) -> float:
    """GFLOP of an update as XLA counts plain convolutions; the backward pass counts twice the forward pass."""
    plain = make_model(ResNetConfig(depth=depth), operations=make_operations("tpu"))  # type: ignore[arg-type]
    variables = jax.eval_shape(plain.init, jax.random.key(0), jax.ShapeDtypeStruct((68, 2), jnp.float32))
    images = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
    lowered = jax.jit(lambda v, x: plain.apply(v, x, False)).lower(variables, images)
    return 3 * (lowered.cost_analysis() or {})["flops"] / 1e9


def matrix_product(side: int = 3072) -> float:
    """GFLOP/s of a square float32 matrix product, the upper bound."""
    a = jnp.ones((side, side))
    product = jax.jit(jnp.matmul)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times[1:]) / 1e9
