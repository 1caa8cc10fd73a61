"""Device memory: where faces are kept, and whether the compiled training step fits."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flaxmark.config.config import Config
from flaxmark.data.input.network_input import InputForm
from flaxmark.data.input.region_tiles import padded_side
from flaxmark.errors import DeviceError
from flaxmark.system.cores import usable_cores
from flaxmark.system.devices import AXIS, all_agree
from flaxmark.training.train_state import TrainState
from flaxmark.training.xla_programs import Programs

SAFE_BYTES = 2e9
"""Faces of this size are taken to fit where the memory of a device is not known."""

GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Files with the memory limit and usage of this process's control group, versions 2 and 1."""


def available_bytes(device: jax.Device) -> int | None:
    """Bytes that a run may use on one device, None where that is not known.

    On a CPU it is the machine's free memory, which all its devices share.
    """
    if device.platform == "cpu":
        return _machine_bytes()
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit")


def _machine_bytes() -> int | None:
    """Bytes that this process may still take of the machine, or of its container or job."""
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else pages
    except (OSError, ValueError):
        return None
    limits = [_left_in_group(files) for files in GROUPS]
    return min([free, *(limit for limit in limits if limit is not None)])


def _left_in_group(files: tuple[str, str]) -> int | None:
    """Bytes left below a control group's limit; None without a limit."""
    try:
        limit, used = (Path(file).read_text(encoding="ascii").strip() for file in files)
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # ValueError: the limit is `max`
        return None


def host_bytes() -> int | None:
    """Share of the host's free memory, in bytes, that corresponds to this process's share of its cores."""
    free = _machine_bytes()
    return None if free is None else int(free * usable_cores() / (os.cpu_count() or 1))


def free_bytes(device: jax.Device) -> int | None:
    """`available_bytes` less the memory already in use on an accelerator."""
    available = available_bytes(device)
    if available is None or device.platform == "cpu":
        return available
    return available - (device.memory_stats() or {}).get("bytes_in_use", 0)


@dataclasses.dataclass(frozen=True)
class Faces:
    """Size of a split.

    Attributes:
        count: Number of faces.
        region_size: Side of the largest stored region of the data set, pixels.
        largest_side: Side of the largest crop, pixels of its region.
    """

    count: int
    region_size: int
    largest_side: float


def choose_form(config: Config, training: Faces, validation: int, mesh: Mesh) -> InputForm:
    """Decide where training faces are kept and where images are made.

    Accelerators make images in the step; a CPU makes them ahead of the step, in threads. With `data.residency` auto all
    regions, those of the validation faces included, are kept in memory where they take at most half of what is free.
    """
    form = InputForm(
        in_step=mesh.devices.flat[0].platform != "cpu",
        resident=True,
        faces=training.count,
        side=padded_side(training.region_size),
        largest_side=training.largest_side,
        validation=validation,
    )
    if config.data.residency != "auto":
        return dataclasses.replace(form, resident=config.data.residency == "device")
    # Regions are decoded in the host's memory first, wherever they are kept.
    known = [free for free in (free_bytes(mesh.devices.flat[0]), host_bytes()) if free is not None]
    kept = form.region_bytes * (training.count + validation)
    # Hosts with different amounts of memory still have to run the same program.
    return dataclasses.replace(form, resident=all_agree(kept <= (min(known) / 2 if known else SAFE_BYTES)))


def compile_within_memory(programs: Programs, config: Config, mesh: Mesh, form: InputForm) -> Callable[..., Any]:
    """Compile the training step for the run's shapes; DeviceError if the run does not fit.

    Under pmap, which compiles at its first call, it is `programs.train` itself, unchecked.
    """
    if config.train.compile == "pmap":
        return programs.train
    shapes = input_shapes(programs, config, mesh, form)
    compiled = programs.train.lower(*shapes).compile()  # type: ignore[attr-defined]
    memory, available = compiled.memory_analysis(), available_bytes(mesh.devices.flat[0])
    if memory is None or available is None:
        return compiled
    # The state is donated: its output reuses its memory.
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    if form.in_step and form.resident:
        needed += form.region_bytes * form.validation // mesh.size
    if mesh.devices.flat[0].platform == "cpu":
        needed *= len(mesh.local_devices)
    if needed > available:
        raise _too_large(config, mesh, form, needed, available)
    return compiled


def compile_fitting(
    programs: Programs, config: Config, mesh: Mesh, form: InputForm
) -> tuple[InputForm, Callable[..., Any]]:
    """Compile the training step; faces that do not fit beside it are streamed, unless the config wants them resident.

    Returns the form of the input and the step of `compile_within_memory`; DeviceError as there.
    """
    try:
        return form, compile_within_memory(programs, config, mesh, form)
    except DeviceError:
        if config.data.residency != "auto" or not (form.in_step and form.resident):
            raise
    streamed = dataclasses.replace(form, resident=False)
    return streamed, compile_within_memory(programs, config, mesh, streamed)


def _too_large(config: Config, mesh: Mesh, form: InputForm, needed: int, available: int) -> DeviceError:
    """The error that says how much memory is missing and what would help."""
    train, faces = config.train, form.region_bytes * (form.faces + form.validation // mesh.size)
    fewest = train.accumulate * needed / available
    parts = [n for n in range(1, train.batch_size + 1) if n >= fewest and train.batch_size % (n * mesh.size) == 0]
    advice = [f"--train.accumulate {parts[0]}"] if parts else []
    if form.in_step and form.resident and needed - faces <= available:
        advice = [f"--data.residency stream (the faces take {faces / 1e9:.1f} GB)"]
    return DeviceError(
        f"a step of {config.model.title} at {config.data.image_size} px needs about {needed / 1e9:.1f} GB and "
        f"{available / 1e9:.1f} GB are free; "
        f"try {', '.join([*advice, 'a smaller --train.batch-size'])} or --data.image-size",
        field="train.batch_size",
        value=train.batch_size,
    )


def input_shapes(programs: Programs, config: Config, mesh: Mesh, form: InputForm) -> tuple[Any, Any, Any]:
    """Shapes and shardings of the arguments of `programs.train`: state, faces and batch."""
    points = config.data.markup.num_points
    state = jax.eval_shape(programs.init, jax.random.key(0), jax.ShapeDtypeStruct((points, 2), jnp.float32))
    faces, batch = form.face_shapes(points), form.batch_shapes(config.data, config.train.batch_size)
    return place(state, mesh), place(faces, mesh), place(batch, mesh, AXIS)


def eval_shapes(state: TrainState, config: Config, mesh: Mesh, form: InputForm) -> tuple[Any, Any]:
    """Shapes and shardings of the arguments of `programs.evaluation.evaluate`: variables and batch."""
    size = config.train.eval_batch_size
    batch = form.region_shapes(config.data, size) | {"mask": jax.ShapeDtypeStruct((size,), jnp.float32)}
    return place(state.eval_variables, mesh), place(batch, mesh, AXIS)


def place(shapes: Any, mesh: Mesh, *axes: str) -> Any:
    """The same shapes on a mesh: sharded over the given axis, or whole on each device."""
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)
