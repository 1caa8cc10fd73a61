"""Setup of a run before its first step: faces, compiled steps, initial state and the header that is printed."""

import dataclasses
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

import flaxmark
from flaxmark.config.config import Config
from flaxmark.data.input.batches import epoch_order
from flaxmark.data.input.feed import EvalFeed, TrainingFeed
from flaxmark.data.input.network_input import InputForm
from flaxmark.data.prepare.prepare import Examples, Prepared, load_split
from flaxmark.errors import ConfigError, DataError
from flaxmark.evaluation.eval_step import Evaluation
from flaxmark.faces.markup_files import check_flip_order
from flaxmark.faces.missing import mean_points, mean_shape, present
from flaxmark.models.pretrained import SHIPPED_NAME
from flaxmark.schema import to_dict
from flaxmark.storage.checksum import compile_checksums
from flaxmark.system.clock import Clock
from flaxmark.system.devices import in_32_bits, make_mesh
from flaxmark.training.memory import Faces, choose_form, compile_fitting, eval_shapes, place
from flaxmark.training.train_state import TrainState
from flaxmark.training.xla_programs import build_programs

VALIDATION_STEPS = 200
"""Minimum number of steps between validations, unless the config sets the epochs between them."""

FEW_FACES = 500
"""From this number of training faces on, the usual recipes are better for trained weights, too."""


@dataclasses.dataclass
class Run:
    """Everything that the loop works with.

    `state` and the last losses that were read change: `epoch_loss` is the mean of the current epoch, `first_loss` the
    first that was read since this start.
    """

    config: Config
    workdir: Path
    mesh: Any
    train_step: Callable[..., Any]
    statistics: Callable[..., Any]
    evaluation: Evaluation
    examples: Examples
    feed: TrainingFeed
    form: InputForm
    validation: EvalFeed
    mean_face: Float[np.ndarray, "points 2"]
    state: TrainState
    metadata: dict[str, Any]
    epoch_loss: float = float("nan")
    first_loss: float = float("nan")

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the remainder of the faces is dropped."""
        return len(self.examples) // self.config.train.batch_size

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.train.epochs * self.steps_per_epoch

    def validates_after(self, step: int) -> bool:
        """Whether a validation follows update `step`, counted from 1."""
        epoch, rest = divmod(step, self.steps_per_epoch)
        every = self.config.train.validate_every or -(-VALIDATION_STEPS // self.steps_per_epoch)
        return rest == 0 and (epoch % every == 0 or step == self.total_steps)

    def files_of(self, step: int) -> list[str]:
        """Files of the faces that update `step`, counted from 1, learns from, on all processes."""
        epoch, index = divmod(step - 1, self.steps_per_epoch)
        size, seed = self.config.train.batch_size, self.config.train.seed
        rows = epoch_order(len(self.examples), seed, epoch)[index * size : (index + 1) * size]
        return [self.examples.files[row] for row in rows]


def with_enough_epochs(config: Config, faces: int) -> Config:
    """The config with as many epochs over this many faces as make `train.min_steps` steps."""
    train = config.train
    epochs = max(train.epochs, math.ceil((train.min_steps or 0) / (faces // train.batch_size)))
    return dataclasses.replace(config, train=dataclasses.replace(train, epochs=epochs))


def make_run(config: Config, workdir: Path, prepared: Prepared, clock: Clock) -> Run:
    """Load the faces, compile the steps and make the initial state.

    Raises ConfigError for too few faces or a flip order that does not mirror them, DataError for a point that no face
    has, DeviceError for too little memory.
    """
    with clock.phase("load"):
        examples, validation = (load_split(prepared, split) for split in ("train", "validation"))
        mean_face = _check_faces(config, examples)
        check_visibility(config, examples)
        metadata = make_metadata(config, prepared, mean_face)  # of the config as it was given
        config = with_enough_epochs(config, len(examples))
        mesh = make_mesh()
        faces = Faces(len(examples), examples.region_size, float(examples.crops[:, 2].max()))
        form = choose_form(config, faces, len(validation), mesh)
    with clock.phase("compile"):
        programs = build_programs(config, len(examples) // config.train.batch_size, mesh, form)
        replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        init = in_32_bits(jax.jit(programs.init, out_shardings=replicated))
        key = jax.random.key(config.train.seed)
        # XLA compiles without holding the GIL: together they take as long as the slowest. Faces are read meanwhile.
        pool = ThreadPoolExecutor(2)
        try:
            compiled_init = pool.submit(lambda: init.lower(key, mean_face).compile())
            loaded = pool.submit(_load_feed, examples, config, mesh, form)
            fitting, compiled = compile_fitting(programs, config, mesh, form)
            if fitting != form:
                form, loaded = fitting, pool.submit(_load_feed, examples, config, mesh, fitting)
            state = compiled_init.result()(key, mean_face)
            with clock.phase("load"):
                feed = loaded.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait for faces to be read
    return Run(
        config=config,
        workdir=workdir,
        mesh=mesh,
        train_step=compiled,
        statistics=programs.statistics,
        evaluation=_compile_meanwhile(programs.evaluation, state, config, mesh, form),
        examples=examples,
        feed=feed,
        form=form,
        validation=EvalFeed(validation, config, mesh, keep=form.resident),
        mean_face=mean_face,
        state=state,
        metadata=metadata,
    )


def _check_faces(config: Config, examples: Examples) -> Float[np.ndarray, "points 2"]:
    """Mean training face in crop units; ConfigError or DataError if the faces cannot be trained on."""
    if len(examples) < config.train.batch_size:
        reason = f"there are only {len(examples)} training faces; use a smaller batch or more faces"
        raise ConfigError(reason, field="train.batch_size", value=config.train.batch_size)
    mean_face = mean_points(examples.landmarks).astype(np.float32)
    never = np.flatnonzero(~present(mean_face))
    if never.size:
        points = ", ".join(map(str, never[:10])) + (", .." if never.size > 10 else "")
        reason = f"no training face has point {points}; add faces that have it, or use a mark-up without it"
        raise DataError(reason, field="data.markup", value=config.data.markup.name)
    try:
        # Where points are missing, each is the mean of other faces, turned this way and that.
        complete = present(examples.landmarks).all()
        check_flip_order(config.data.markup, mean_face if complete else mean_shape(examples.landmarks))
    except ValueError as error:
        raise ConfigError(str(error), field="data.markup", value=config.data.markup.name) from error
    return mean_face


def check_visibility(config: Config, examples: Examples) -> None:
    """Refuse a fresh head for visibility that nothing would train: its numbers would mean nothing."""
    if not predicts_visibility(config) or config.model.init_from is not None:
        return
    if not config.train.visible_weight:
        raise ConfigError("is 0, and model.head.visible would not be trained", field="train.visible_weight", value=0)
    if not (examples.visible == examples.visible).any():
        reason = "no training face tells which points are hidden: drawn faces do, and COCO keypoints with v = 1 and 2"
        raise ConfigError(reason, field="model.head.visible", value=True)


def predicts_visibility(config: Config) -> bool:
    """Whether the head predicts which points are seen."""
    return getattr(config.model.head, "visible", False)


def _load_feed(examples: Examples, config: Config, mesh: Any, form: InputForm) -> TrainingFeed:
    """Training faces, ready for the first step."""
    feed = TrainingFeed(examples, config, mesh, form)
    feed.warm_up()
    return feed


def _compile_meanwhile(
    evaluation: Evaluation, state: TrainState, config: Config, mesh: Any, form: InputForm
) -> Evaluation:
    """Compile evaluation and, for accelerators, checksums during the first steps; their first use waits for it."""
    if config.train.compile == "pmap":
        return evaluation
    shapes, pool = eval_shapes(state, config, mesh, form), ThreadPoolExecutor(1)
    compiled = pool.submit(lambda: evaluation.evaluate.lower(*shapes).compile())  # type: ignore[attr-defined]
    if form.in_step:
        known = place(state, mesh)  # the arrays themselves are donated to the first step
        parts = {"state": known, "model": known.eval_variables}
        pool.submit(compile_checksums, parts, mesh.local_devices[0])
    pool.shutdown(wait=False)
    return dataclasses.replace(evaluation, evaluate=lambda *arguments: compiled.result()(*arguments))


def make_metadata(config: Config, prepared: Prepared, mean_face: Float[np.ndarray, "points 2"]) -> dict[str, Any]:
    """Metadata of a checkpoint, ready for JSON: config, data set, mean face (crop units) and versions."""
    return {
        "flaxmark": flaxmark.__version__,
        "jax": jax.__version__,
        "config": to_dict(config),
        "data": prepared.name,
        "data_fingerprint": prepared.fingerprint,
        "terms": prepared.terms,
        "mean_face": mean_face.tolist(),
    }


def print_header(run: Run, prepared: Prepared) -> None:
    """Print what is about to be trained, on what, and where."""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(run.state.params))
    device = run.mesh.devices.flat[0]
    config, train_config, step = run.config, run.config.train, int(run.state.step)
    lines = {
        "model": f"{config.model.title}, {parameters:,} parameters, {config.model.dtype}",
        "loss": config.loss.title,
        "data": f"{prepared.name}: " + ", ".join(f"{name} {count:,}" for name, count in prepared.counts.items()),
        **_describe_listing(prepared),
        **describe_start(config, prepared.counts["train"]),
        **_describe_visibility(run),
        "devices": f"{run.mesh.size} x {device.device_kind} ({device.platform}), {train_config.compile}",
        "input": f"{config.data.image_size} px, batch {train_config.batch_size}, {run.steps_per_epoch} steps per epoch",
        "faces": _describe_form(run),
        "workdir": str(run.workdir),
    }
    if step:
        lines["resuming"] = f"after step {step} of {run.total_steps}"
    if jax.process_index() == 0:
        print("\n".join(f"{name:<9} {text}" for name, text in lines.items()), flush=True)


def describe_start(config: Config, faces: int) -> dict[str, str]:
    """Header line about the first weights, with a hint where so few faces need another recipe for the shipped ones."""
    if config.model.init_from is None:
        return {}
    gentle = config.model.freeze_batch_norm or config.optimizer.backbone_rate < 1
    fitting = gentle or faces >= FEW_FACES or config.model.init_from != SHIPPED_NAME
    hint = "" if fitting else "; so few faces gain more from config few_faces"
    return {"start": f"weights of {config.model.init_from}{hint}"}


def _describe_visibility(run: Run) -> dict[str, str]:
    """Header line about a head for visibility: which part of the faces trains it."""
    if not predicts_visibility(run.config):
        return {}
    told = int((run.examples.visible == run.examples.visible).any(axis=1).sum())
    return {"visible": f"{told:,} of {len(run.examples):,} training faces tell which points are hidden"}


def _describe_form(run: Run) -> str:
    """Where training faces are kept, and where their images are made."""
    form = run.form
    size = f"{form.side} px, {form.faces * form.region_bytes / 1e6:,.0f} MB"
    where = "the device's memory" if form.in_step else "memory"
    kept = f"kept in {where} ({size})" if form.resident else f"read and decoded for each batch ({size} in total)"
    return f"{kept}; images are made {'in the training step' if form.in_step else 'on the CPU, ahead of the step'}"


def _describe_listing(prepared: Prepared) -> dict[str, str]:
    """Header lines about subsets smaller than the official ones and about files that were left out, if any."""
    short = [
        f"{name} {n:,} of {expected:,}" for name, (n, expected) in prepared.found.items() if expected and n < expected
    ]
    left_out = ", ".join(f"{count} {reason}" for reason, count in prepared.problem_counts().items())
    lines = {"found": ", ".join(short)} if short else {}
    return lines | ({"problems": f"{left_out}; listed in {prepared.report}"} if left_out else {})
