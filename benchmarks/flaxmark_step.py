"""flaxmark's real train step on a fixed batch, and its real loop, to be timed."""

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
    """A state and a batch; each call of `seconds` is one update."""

    def __init__(
        self, depth: int, size: int, batch: int, operations: Operations | None = None, *, options: bool = True
    ) -> None:
        """Build it, without compiling.

        Args:
            depth: Of the ResNet.
            size: Side of the images, pixels.
            batch: Faces a step.
            operations: Of the network; flaxmark's choice for this backend by default.
            options: Compile with flaxmark's options, else with XLA's defaults.
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
        """Make one update, wait for it, and say how long it took; the first one compiles."""
        start = time.perf_counter()
        self._state, metrics = self._step(self._state, self._batch)
        float(metrics["loss"])
        return time.perf_counter() - start

    def compiled_text(self) -> str:
        """The step as XLA runs it."""
        return self._step.lower(self._state, self._batch).compile().as_text()  # type: ignore[attr-defined]


WARM_UP = 3
RESIDENCY = {"resident": "device", "streamed": "stream"}


class FlaxmarkTraining:
    """A run on this backend with three inputs: `fixed`, one batch that is on the device; `resident`; `streamed`.

    Attributes:
        about: Device and version.
        compile_seconds: Input -> seconds; of `resident` alone, as the other steps find some of its work done.
        memory: Input -> bytes on a device. Where the device tells, its peak so far, which never falls.
    """

    def __init__(self, config: Config, workdir: Path) -> None:
        """Compile the steps, load the faces and make a few steps with each input.

        Args:
            config: The run.
            workdir: For its metrics.
        """
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
        """Train for a while.

        Args:
            name: Of the input.
            steps: At least so many, after those to warm up.
            seconds: At least so long.

        Returns:
            Steps made, and the seconds they took.
        """
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
    """A run that is never validated."""

    def validates_after(self, step: int) -> bool:
        """As `Run.validates_after`: after no step."""
        return False


class NoCheckpoints:
    """Keeps nothing."""

    def save(self, *_: Any) -> None:
        """Leave it out."""

    def describe_latest(self) -> str:
        """For the message where a loss is not finite."""
        return "none"


class Stopwatch(StopRequests):
    """Times the steps that follow a few to warm up, and then asks the loop to stop.

    Attributes:
        steps: Made.
        seconds: That they took, until the device had finished them.
    """

    def __init__(self, run: Run, steps: int, seconds: float) -> None:
        """Say how long: at least so many steps and seconds."""
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
    """Make steps with one batch, two of them under way as in the loop, and do nothing else."""
    previous, stop = None, False
    while not stop:
        run.state, metrics = run.train_step(run.state, {}, batch)
        jax.block_until_ready(previous)
        previous, stop = metrics, stop_requested(0)


def with_residency(config: Config, name: str) -> Config:
    """The same run with its faces `resident` or `streamed`."""
    residency: Any = RESIDENCY[name]
    return dataclasses.replace(config, data=dataclasses.replace(config.data, residency=residency))


def input_form(config: Config, examples: Examples, mesh: Any) -> InputForm:
    """How a run's training faces reach its step."""
    faces = Faces(len(examples), examples.region_size, float(examples.crops[:, 2].max()))
    return choose_form(config, faces, 0, mesh)


def image_batches(config: Config, feed: TrainingFeed, form: InputForm) -> Generator[Any, None, None]:
    """Batches of images on the device, also where the step would make them."""
    make = jax.jit(make_training_images(config.data, form.largest_side))
    with contextlib.closing(feed.batches()) as batches:
        for batch in batches:
            yield make(feed.faces, batch) if form.in_step else batch


def flaxmark_batches(config: Config, examples: Examples, name: str) -> Iterator[Any]:
    """The same of a run whose faces are `resident` or `streamed`, each batch ready."""
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
    """Memory of a device: the most in use so far where it tells, else what a compiled step holds."""
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    held = step.memory_analysis()
    return peak or held.argument_size_in_bytes + held.temp_size_in_bytes


def gflop_per_step(depth: int, size: int, batch: int) -> float:
    """GFLOP of an update as XLA counts it with plain convolutions; backward is taken as twice forward."""
    plain = make_model(ResNetConfig(depth=depth), operations=make_operations("tpu"))  # type: ignore[arg-type]
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
