"""Will it fit? An estimate from the compiled step, before anything large is allocated."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flaxmark.config import Config, ConfigError, DataConfig
from flaxmark.programs import Programs
from flaxmark.sharding import AXIS


def available_bytes(device: jax.Device) -> int | None:
    """Memory that a run may use on one device.

    Args:
        device: On a CPU, the machine's memory that is free now is shared by all its devices.

    Returns:
        Bytes, or None where it is not known.
    """
    if device.platform == "cpu":
        try:
            pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            with open("/proc/meminfo", encoding="ascii") as file:
                lines = dict(line.split(":", 1) for line in file)
            return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else pages
        except (OSError, ValueError):
            return None
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit")


def compile_within_memory(programs: Programs, config: Config, mesh: Mesh) -> Callable[..., Any]:
    """Compile the step for the run's shapes and refuse a run that will not fit.

    Args:
        programs: From `build_programs`.
        config: The run.
        mesh: Where it runs.

    Returns:
        The compiled step; under pmap, which compiles at its first call, `programs.train` itself, unchecked.

    Raises:
        ConfigError: Says how much is needed, how much there is, and what would help.
    """
    if config.train.compile == "pmap":
        return programs.train
    shapes = input_shapes(programs, config.train.batch_size, config.data, mesh)
    compiled = programs.train.lower(*shapes).compile()  # type: ignore[attr-defined]
    memory, available = compiled.memory_analysis(), available_bytes(mesh.devices.flat[0])
    if memory is None or available is None:
        return compiled
    # The state is donated: its output takes its own place.
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    if mesh.devices.flat[0].platform == "cpu":
        needed *= len(mesh.local_devices)
    if needed > available:
        train = config.train
        fewest = train.accumulate * needed / available
        parts = [n for n in range(1, train.batch_size + 1) if n >= fewest and train.batch_size % (n * mesh.size) == 0]
        advice = f"try --train.accumulate {parts[0]}, " if parts else "try "
        raise ConfigError(
            f"a step of ResNet-{config.model.depth} at {config.data.image_size} px with --train.batch-size "
            f"{train.batch_size} needs about {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free; "
            f"{advice}a smaller --train.batch-size or --data.image-size"
        )
    return compiled


def input_shapes(
    programs: Programs, batch_size: int, data: DataConfig, mesh: Mesh
) -> tuple[Any, dict[str, jax.ShapeDtypeStruct]]:
    """State and batch as shapes with their places.

    Args:
        programs: From `build_programs`.
        batch_size: Global.
        data: Gives the side of the pictures and the number of points.
        mesh: Where the batch is split.

    Returns:
        The arguments of `programs.train`, without their contents.
    """
    points = data.markup.num_points
    replicated, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(AXIS))
    state = jax.eval_shape(programs.init, jax.random.key(0), jax.ShapeDtypeStruct((points, 2), jnp.float32))
    state = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), state)
    image = (batch_size, data.image_size, data.image_size, 3)
    shapes = {"image": image, "landmarks": (batch_size, points, 2), "mask": (batch_size,)}
    return state, {name: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=split) for name, shape in shapes.items()}
