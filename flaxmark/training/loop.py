"""The training loop of a run: prepare, train, validate, keep the best checkpoint, write the report."""

import math
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flaxmark.config.checks import check_config, check_weights_exist
from flaxmark.config.config import Config
from flaxmark.data.prepare.prepare import Prepared, prepare
from flaxmark.errors import FlaxmarkError
from flaxmark.evaluation.evaluate_split import Outputs, format_results, is_known, predict_split
from flaxmark.evaluation.metrics import mean_nme, sigma_scale, summarize
from flaxmark.evaluation.run_report import write_report
from flaxmark.models.batch_norm import Variables
from flaxmark.models.confidence import doubt, fit_face_score
from flaxmark.storage.checkpoint import RunCheckpoints, newest_metadata, restore_newest
from flaxmark.storage.metric_log import MetricWriter
from flaxmark.storage.remote import PRETRAINING, local_workdir, push, saved_checkpoints
from flaxmark.storage.workdir import BAD_FACES, claim_workdir, lock_workdir, stored_result
from flaxmark.system.clock import Clock
from flaxmark.system.devices import in_32_bits, start_devices
from flaxmark.system.files import storage_errors, write_text
from flaxmark.system.progress import Progress
from flaxmark.training.first_weights import check_weights_fit, joint_terms, pretraining_config, start_from_weights
from flaxmark.training.fresh_statistics import variables_to_validate
from flaxmark.training.profiling import StepProfiler
from flaxmark.training.run_faces import has_other_faces, list_faces, set_other_faces_aside, write_faces
from flaxmark.training.run_setup import Run, make_run, print_header
from flaxmark.training.stop_requests import StopRequests, stop_requests

EXPLODED = 1000
"""A loss has exploded when it grows by this many times its first value, which is that of the mean face."""


class TrainingError(RuntimeError):
    """A run that cannot continue: its loss is not finite or has exploded."""


@in_32_bits
def train(config: Config, workdir: str | Path, clock: Clock | None = None) -> dict[str, Any]:
    """Train to the end, resuming the run in the workdir if there is one.

    Args:
        config: Config of the run; it has to be the workdir's own where the workdir holds a run.
        workdir: A folder, or a URL (see `storage.remote`). Gets config.json, faces.tsv, train_faces.txt, metrics.jsonl,
            tensorboard/, checkpoints/, and at the end result.json, predictions.npz, table.md, curves.png and test.png;
            pretraining/ is the workdir of a config that `model.init_from` names.
        clock: Clock of a command that has been running for a while; a new one by default.

    Returns:
        The content of result.json: `rows` of metrics per split, their history, cost and provenance.

    Raises:
        ConfigError: A setting that cannot work, such as a batch larger than the training split.
        DataError: A data set that cannot be read, has no training faces, or is not the one that the run started with.
        CheckpointError: A workdir of another run, or initial weights that cannot be used.
        DeviceError: No device as JAX_PLATFORMS names, or a step that needs more memory than a device has.
        StorageError: A workdir that cannot be written.
        TrainingError: The loss is not finite or has exploded.
        Interrupted: Ctrl-C, or SIGTERM (Preempted); everything is saved.
    """
    clock = clock or Clock()
    start_devices()
    check_config(config, jax.device_count())
    given, workdir = workdir, local_workdir(workdir)
    first = jax.process_index() == 0
    result = stored_result(workdir, config)
    if result is not None:
        if first:
            push(workdir)  # a previous start may have ended before its last copy
        print(f"{workdir}: this run is finished. Its result:\n{format_results(result['rows'])}")
        return result
    resumes = bool(saved_checkpoints(workdir))
    if not resumes:  # later it does not need them any more
        check_weights_exist(config)
        check_weights_fit(config)
    with lock_workdir(workdir) if first else nullcontext():
        claim_workdir(workdir, config, write=first)
        with clock.phase("prepare"):
            prepared = prepare(config.data)
        faces = list_faces(prepared)
        others = has_other_faces(workdir, config, faces)
        weights = config.model.init_from if resumes else pretrain(config, given, clock)
        run = make_run(config, workdir, prepared, clock)
        with clock.phase("load"):
            resume_or_start(run, weights)
        if others:
            set_other_faces_aside(workdir)
            validate_again(run, clock)
        write_faces(workdir, faces)
        return finish(run, prepared, clock)


def resume_or_start(run: Run, weights: str | None) -> None:
    """Give the run the state and terms of its newest checkpoint, or of the weights that it starts from."""
    restored = restore_newest(run.workdir, run.state)
    if restored is None:
        run.state, terms = start_from_weights(run.config, run.state, weights)
        run.metadata["terms"] = joint_terms(run.metadata["terms"], terms)
    else:
        run.state, run.metadata["terms"] = restored, newest_metadata(run.workdir)["terms"]


def pretrain(config: Config, workdir: str | Path, clock: Clock) -> str | None:
    """What the run starts from, for `start_from_weights`; a config that `model.init_from` names is trained first.

    That run is in `pretraining/` of the workdir. Raises as `train` does.
    """
    first = pretraining_config(config)
    if first is None:
        return config.model.init_from
    folder = f"{workdir}/{PRETRAINING}"
    if jax.process_index() == 0:
        print(f"pretraining with {config.model.init_from}, in {folder}", flush=True)
    with clock.phase("pretraining"):
        try:
            train(first, folder)
        except FlaxmarkError as error:  # its fields have the names of this run's
            error.reason = f"in pretraining with {config.model.init_from}: {error.reason}"
            raise
    return str(local_workdir(folder))


def finish(run: Run, prepared: Prepared, clock: Clock) -> dict[str, Any]:
    """Make all remaining steps and write the report; returns the content of result.json. Raises as `train` does."""
    checkpoints = RunCheckpoints(run.workdir)
    with storage_errors(run.workdir, lambda: checkpoints.kept):
        with stop_requests() as stop_requested:
            with clock.phase("saving"), checkpoints:  # leaving waits for the last save
                print_header(run, prepared)
                with clock.phase("steps"):
                    run_steps(run, checkpoints, stop_requested, clock)
            if stop_requested(run.total_steps):
                raise stop_requested.interruption("after the last step; the same command writes the report")
        with clock.phase("report"):
            result = write_report(run.workdir, prepared, run.evaluation, run.mesh, clock)
        if jax.process_index() == 0:
            push(run.workdir)
            print(f"time: {clock}")
        return result


def run_steps(run: Run, checkpoints: RunCheckpoints, stop_requested: StopRequests, clock: Clock) -> None:
    """Make all remaining steps; each is dispatched before the metrics of the previous one are read, and few are read.

    Moves `run.state` on and saves it. Raises TrainingError if the loss or the validation loss is not finite or has
    exploded, and Interrupted once everything is saved after a stop request.
    """
    config, step = run.config.train, int(run.state.step)
    writer = MetricWriter(run.workdir, step) if jax.process_index() == 0 else None
    progress = Progress(run.total_steps, step, config.batch_size)
    profiler = StepProfiler(config.profile_steps, run.workdir / "profile")
    note = ""
    previous: dict[str, jax.Array] | None = None  # metrics of the previous step, until they are read
    try:
        with closing(run.feed.batches(step)) as batches:
            for batch in batches:
                profiler.before(step + 1)
                run.state, metrics = run.train_step(run.state, run.feed.faces, batch)
                step += 1
                profiler.after(step, metrics)
                # At most two steps are in flight, so that batches do not pile up on the device.
                jax.block_until_ready(previous)
                if previous and ((step - 1) % config.log_every == 0 or _ends_epoch(run, step - 1)):
                    record(run, writer, step - 1, previous, progress, checkpoints)
                position = f"epoch {-(-step // run.steps_per_epoch)}/{config.epochs}"
                progress.step(f"{position}  loss {run.epoch_loss:.5f}{note}")
                previous = metrics
                if validates := run.validates_after(step):
                    record(run, writer, step, metrics, progress, checkpoints)
                    progress.pause()
                    with clock.phase("validation"):
                        figures = validate(run, writer, checkpoints, clock)
                    error = f"NME {figures['nme']:.2f} %" if is_known(figures["nme"]) else "no face has an NME"
                    note = f"  validation {figures['loss']:.5f}  {error}"
                    if figures["nme"] > figures["mean_face_nme"]:
                        note += f", worse than the mean face ({figures['mean_face_nme']:.2f} %): train longer"
                    progress.line(f"{position}  loss {figures['train_loss']:.5f}{note}")
                    progress.resume()
                    previous = None
                stop = stop_requested(step)
                if not validates and (stop or (config.save_every and step % config.save_every == 0)):
                    record(run, writer, step, metrics, progress, checkpoints)
                    with clock.phase("saving"):
                        checkpoints.save(run.state, run.metadata)
                    previous = None
                if stop and step < run.total_steps:
                    raise stop_requested.interruption(f"after step {step}; the same command resumes")
    finally:
        profiler.close()
        if writer is not None:
            writer.close()


def _ends_epoch(run: Run, step: int) -> bool:
    """Whether update `step`, counted from 1, is the last of its epoch."""
    return step % run.steps_per_epoch == 0


def record(
    run: Run,
    writer: MetricWriter | None,
    step: int,
    metrics: dict[str, jax.Array],
    progress: Progress,
    checkpoints: RunCheckpoints,
) -> None:
    """Read the metrics of update `step`, which waits for it, and log them (`writer` is None except on process 0).

    Updates `run.epoch_loss`; raises TrainingError if the loss is not finite or has exploded.
    """
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    epoch, finite = (step - 1) // run.steps_per_epoch, int(values.pop("finite_steps"))
    loss = values["epoch_loss"]
    if not math.isfinite(loss):
        raise failure(run, "loss is not finite", epoch * run.steps_per_epoch + finite + 1, step, values, checkpoints)
    if math.isnan(run.first_loss):
        run.first_loss = loss
    if values["loss"] - run.first_loss > EXPLODED * max(abs(run.first_loss), 1e-3):
        raise failure(run, f"loss has grown from {run.first_loss:.4g}", step, step, values, checkpoints)
    run.epoch_loss = values["epoch_loss"]
    if writer is not None and step % run.config.train.log_every == 0:
        figures = {"epoch": epoch + 1, **values, "images_per_second": progress.rate}
        writer.write("train", step, figures)


def failure(
    run: Run, what: str, bad: int, step: int, values: dict[str, float], checkpoints: RunCheckpoints
) -> TrainingError:
    """Error about a run that went wrong in update `bad`, noticed from the metrics of update `step`.

    It names the faces of that update, which are listed in `not_finite.txt`, and the last good checkpoint.
    """
    files = run.files_of(bad)
    if jax.process_index() == 0:
        write_text(run.workdir / BAD_FACES, "\n".join(files) + "\n")
    return TrainingError(
        f"{what} at step {bad} (at step {step}: loss {values['loss']:.4g}, gradient norm {values['grad_norm']:.4g}); "
        f"its faces are {files[0]} and the others listed in {run.workdir / BAD_FACES}; last good checkpoint: "
        f"{checkpoints.describe_latest()}. A lower --optimizer.learning-rate usually helps"
    )


def calibrate(run: Run, variables: Variables, outputs: Outputs) -> dict[str, Any]:
    """Calibration of sigma for the checkpoint's metadata: `sigma_scale` and `face_score`; empty without sigma.

    `outputs` are those of the variables on the validation split.
    """
    if outputs.sigma is None:
        return {}
    mixed = predict_split(run.evaluation.evaluate_mixed, variables, run.validation)
    assert mixed.sigma is not None
    target = run.validation.examples.landmarks
    return {
        "sigma_scale": sigma_scale(outputs.landmarks, target, outputs.sigma),
        "face_score": fit_face_score(doubt(outputs.sigma), doubt(mixed.sigma)),
    }


def validate(run: Run, writer: MetricWriter | None, checkpoints: RunCheckpoints, clock: Clock) -> dict[str, float]:
    """Metrics on the validation split after an epoch, `mean_face_nme` for comparison, and the checkpoint.

    The checkpoint is kept as the latest, and as the best if its loss is the lowest. Raises TrainingError if the
    validation loss is not finite.
    """
    variables = variables_to_validate(run)
    outputs = predict_split(run.evaluation.evaluate, variables, run.validation)
    markup, step, target = run.config.data.markup, int(run.state.step), run.validation.examples.landmarks
    figures = summarize(outputs.landmarks, target, outputs.losses, markup)
    if not math.isfinite(figures["loss"]):
        raise TrainingError(
            f"validation loss is {figures['loss']} after step {step}; "
            f"last good checkpoint: {checkpoints.describe_latest()}"
        )
    figures |= {"train_loss": run.epoch_loss}
    if writer is not None:
        writer.write("validation", step, {"epoch": step // run.steps_per_epoch, **figures})
    metadata = run.metadata | calibrate(run, variables, outputs)
    with clock.phase("saving"):
        checkpoints.save(run.state, metadata, figures, variables)
    mean_face = np.broadcast_to(run.mean_face, target.shape)
    return figures | {"mean_face_nme": mean_nme(mean_face, target, markup=markup)}


def validate_again(run: Run, clock: Clock) -> None:
    """Validate the state that a run resumes from on other faces than before, and save it with these figures."""
    run.epoch_loss = float(run.state.epoch_loss.mean)
    writer = MetricWriter(run.workdir, int(run.state.step)) if jax.process_index() == 0 else None
    with (
        nullcontext() if writer is None else closing(writer),
        RunCheckpoints(run.workdir) as checkpoints,
        clock.phase("validation"),
    ):
        validate(run, writer, checkpoints, clock)
