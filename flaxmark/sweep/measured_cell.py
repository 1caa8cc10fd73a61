"""A cell's programs timed for a few seconds, in a process like the cell's own."""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from flaxmark.config.config import Config
from flaxmark.sweep.cell_files import FAILED
from flaxmark.system.clock import Clock, seconds_since_process_start
from flaxmark.system.files import write_text

if TYPE_CHECKING:
    from flaxmark.training.run_setup import Run

MEASURED, READY = "measured.json", "ready"
STEPS, SECONDS = 2, 3.0
"""Minimum number of timed steps, and seconds of them unless the cell ends before."""
# JAX's names of the time that compiling a program took now, or took when it was put into the persistent cache.
COMPILED, SAVED = "/jax/core/compile/backend_compile_duration", "/jax/compilation_cache/compile_time_saved_sec"


@dataclasses.dataclass(frozen=True)
class CellTime:
    """Seconds of a whole cell."""

    start: float
    """Start of the process, loading, tracing and the report: whatever the number of epochs, with a full cache of
    compiled programs."""
    compile: float
    """Compilation of the slowest program, where the cache does not hold it; the others are compiled meanwhile."""
    work: float
    """All steps and validations."""
    step: float
    """One training step."""

    @classmethod
    def read(cls, workdir: Path) -> Self:
        """What `measure_cell` has written."""
        return cls(**json.loads((workdir / MEASURED).read_text(encoding="utf-8")))


def measure_cell(config: Config, workdir: Path, others: Sequence[Path] = ()) -> None:
    """Time a cell by its own functions: setup, a few steps, a validation and the report; `workdir` is a scratch folder.

    `others` are the folders of cells that are measured at the same time: all make their steps together, because they
    share the device. Writes `CellTime` to the folder.
    """
    from flaxmark.system.devices import in_32_bits, start_devices

    start_devices()
    times = in_32_bits(_measure)(config, workdir, others)
    write_text(workdir / MEASURED, json.dumps(dataclasses.asdict(times)) + "\n")


def _measure(config: Config, workdir: Path, others: Sequence[Path]) -> CellTime:
    import jax

    from flaxmark.data.prepare.prepare import prepare
    from flaxmark.evaluation.run_report import write_report
    from flaxmark.training.run_faces import list_faces, write_faces
    from flaxmark.training.run_setup import make_run

    programs: dict[str, float] = {COMPILED: 0.0, SAVED: 0.0}

    def note(event: str, duration_secs: float, **_: str | int) -> None:
        if event in programs:
            programs[event] = max(programs[event], duration_secs)

    jax.monitoring.register_event_duration_secs_listener(note)
    clock = Clock(seconds_since_process_start())
    with clock.phase("once"):  # every later cell finds the faces prepared
        prepare(config.data)
    prepared = prepare(config.data)
    faces = list_faces(prepared)
    run = make_run(config, workdir, prepared, clock)
    write_faces(workdir, faces)
    step = _time_steps(run, others, clock)
    _validate(run, clock)
    write_report(workdir, prepared, run.evaluation, run.mesh, clock)
    seconds = clock.seconds()
    taken = {name: seconds.pop(name, 0.0) for name in ("once", "steps", "validation", "saving")}
    ends = (run.steps_per_epoch * epoch for epoch in range(1, config.train.epochs + 1))
    validations = sum(map(run.validates_after, ends))
    return CellTime(
        start=max(0.0, sum(seconds.values()) - programs[COMPILED]),
        compile=max(programs.values()),
        work=run.total_steps * step + validations * (taken["validation"] + taken["saving"]),
        step=step,
    )


def _time_steps(run: "Run", others: Sequence[Path], clock: Clock) -> float:
    """Seconds of a training step with its input, while nothing is compiled and the other cells make steps, too."""
    import jax

    with closing(run.feed.batches()) as batches:
        first = _advance(run, batches, 1, 0)
        faces = next(run.validation.batches())
        jax.block_until_ready(run.evaluation.evaluate(run.state.eval_variables, faces))  # it may still be compiling
        with clock.phase("once"):
            write_text(run.workdir / READY, "")
            while not all((folder / READY).exists() or (folder / FAILED).exists() for folder in others):
                time.sleep(0.01)
        with clock.phase("steps"):
            steps, seconds = _advance(run, batches, STEPS, SECONDS)
    if not steps:  # a cell of one step
        steps, seconds = first
    return seconds / steps


def _advance(run: "Run", batches: Iterator[Any], steps: int, seconds: float) -> tuple[int, float]:
    """Make at least this many steps in at least this time, as the training loop does; return both."""
    import jax

    made, begin = 0, time.perf_counter()
    previous: Any = None
    for batch in batches:
        run.state, metrics = run.train_step(run.state, run.feed.faces, batch)
        jax.block_until_ready(previous)
        previous, made = metrics, made + 1
        if made >= steps and time.perf_counter() - begin >= seconds:
            break
    jax.block_until_ready(previous)
    return made, time.perf_counter() - begin


def _validate(run: "Run", clock: Clock) -> None:
    """Validate once and save, as later in a run: the first steps would have other statistics of BatchNorm."""
    import jax
    import numpy as np

    from flaxmark.storage.checkpoint import RunCheckpoints
    from flaxmark.storage.metric_log import MetricWriter
    from flaxmark.training.loop import validate
    from flaxmark.training.run_setup import VALIDATION_STEPS

    later = jax.device_put(np.int32(VALIDATION_STEPS), run.state.step.sharding)
    run.state = dataclasses.replace(run.state, step=later)
    run.epoch_loss = float(run.state.epoch_loss.mean)
    with (
        closing(MetricWriter(run.workdir, 0)) as writer,
        RunCheckpoints(run.workdir) as checkpoints,
        clock.phase("validation"),
    ):
        validate(run, writer, checkpoints, clock)
