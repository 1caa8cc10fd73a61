"""Devices: the mesh, compiling a step for it, and putting batches on it."""

import functools
import multiprocessing
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Literal, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.extend.backend import clear_backends
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from flaxmark.errors import DeviceError

AXIS = "data"
Function = TypeVar("Function", bound=Callable[..., Any])


def in_32_bits(function: Function) -> Function:
    """The function, compiled or not, as it is where `jax_enable_x64` is off: it widens numbers without a dtype.

    The setting belongs to a thread. So what starts a computation is decorated, and what other threads run.
    """

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with jax.enable_x64(False):
            return function(*arguments, **options)

    for name in ("lower", "trace"):  # of compiled functions
        if hasattr(function, name):
            setattr(call, name, in_32_bits(getattr(function, name)))
    return call  # type: ignore[return-value]


# After this time the other processes notice that one has ended, and end, too.
HEARTBEAT_SECONDS = 30


def initialize_distributed() -> None:
    """Join the other processes of a pod or cluster; call it before anything uses a device.

    TPU pods, SLURM and Open MPI are detected, Kubernetes with its package `kubernetes`; others set
    `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`. Raises DeviceError where there is no cluster,
    or the other processes do not connect.
    """
    count, index = (os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    if count is not None:  # the package that this warning asks for would find nothing else
        warnings.filterwarnings("ignore", message="Kubernetes environment detected")
    try:
        jax.distributed.initialize(
            num_processes=None if count is None else int(count),
            process_id=None if index is None else int(index),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise DeviceError(
            f"{reason}; start it under SLURM, Open MPI or on a TPU pod, or set JAX_COORDINATOR_ADDRESS, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID (docs/guide/cloud.md)",
            field="distributed",
        ) from error


# Each hides devices of its kind from JAX.
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS")


def start_devices() -> list[jax.Device]:
    """The devices of this process; JAX starts them at the first call.

    Call it before anything is read that goes to a device: an error of a later start looks like one of the file. Raises
    DeviceError where there is no such device as JAX_PLATFORMS names; it lists those that there are.
    """
    try:
        return jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # AssertionError: the plugin of a known platform is not installed
        raise _no_device(error) from error


def check_devices() -> None:
    """Raise DeviceError as `start_devices` does, for a process that must not hold a device: another one tries."""
    if _asked() not in (None, "cpu"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(_try_devices).result()


def _try_devices() -> None:
    start_devices()


def _no_device(error: Exception) -> DeviceError:
    """The error about devices that do not start."""
    asked = _asked()
    cause = str(error).strip().partition("\n")[0].partition(" (set JAX_PLATFORMS")[0].rstrip(".")
    cause = cause or f"JAX's plugin for {asked or 'a platform'} is not installed"
    hidden = [f"{name}={os.environ[name]!r}" for name in _VISIBLE if name in os.environ]
    hints = [f"{' and '.join(hidden)} may hide devices"] if hidden else []
    if not asked:
        return DeviceError("; ".join([f"JAX starts no device: {cause}", *hints]))
    there = _platforms()
    if there:
        example = there[0].partition(" ")[0]
        hints.append(f"there is {', '.join(there)}: set JAX_PLATFORMS={example}, or leave it unset")
    return DeviceError("; ".join([f"JAX starts no such device: {cause}", *hints]), field="JAX_PLATFORMS", value=asked)


def _asked() -> str | None:
    """The platforms that JAX is restricted to, by its variable or in Python."""
    return jax.config.values["jax_platforms"]


def _platforms() -> list[str]:
    """Platforms that JAX finds here by itself, each with its number of devices."""
    if jax.distributed.is_initialized():  # it would wait for the other processes
        return []
    asked = _asked()
    jax.config.update("jax_platforms", None)
    try:
        found = Counter(device.platform for device in jax.devices())
    except (RuntimeError, AssertionError):
        return []
    finally:
        jax.config.update("jax_platforms", asked)
        clear_backends()
    return [f"{platform} ({count})" for platform, count in found.items()]


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis `data` over the given devices, or over all devices of all processes."""
    start_devices()
    devices = jax.devices() if devices is None else devices
    # axis_types is given because its default differs between JAX versions.
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def compiler_options(mesh: Mesh) -> dict[str, Any] | None:
    """XLA options for a step on these devices: on CPUs no convolutions by YNNPACK, whose weight gradients are slow.

    ResNet-18, 112 px, batch 32, 2 cores, JAX 0.10.2, 2026-11-24: 58.0 against 54.6 images/s.
    """
    if mesh.devices.flat[0].platform != "cpu":
        return None
    return {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"}


def _options_known(options: dict[str, Any] | None) -> dict[str, Any] | None:
    """The options if this version of JAX knows them, else None: they only save time."""
    if options is None:
        return None
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(np.zeros((), np.float32)).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return options


def compile_step(
    step: Callable[..., Any], mesh: Mesh, mode: Literal["jit", "pmap"], *, updates: bool, replicated: int = 1
) -> Callable[..., Any]:
    """Compile `(replicated, .., batch) -> outputs` for all devices of a mesh and batches from `shard_batch`.

    Args:
        step: A train step (state, faces, batch) -> (state, metrics) or an eval step (variables, batch) -> outputs.
            Under pmap it must have been built with axis_name=`AXIS` where it averages.
        mesh: From `make_mesh`.
        mode: `jit`: the batch is split over the mesh, BatchNorm sees all of it. `pmap`: one program per device.
        replicated: Number of arguments before the batch that are complete on every device; the first is never empty.
        updates: It is a train step. Its outputs are the same on every device, and under jit they take the memory of
            its first argument, whose arrays must have been made inside jit. An eval step has outputs `[batch, ...]`.

    Returns:
        A function like `step`; every process gets the complete outputs.
    """
    if mode == "pmap":
        return in_32_bits(_compile_pmap(step, mesh, updates))
    whole, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(AXIS))
    compiled = jax.jit(
        step,
        in_shardings=(*[whole] * replicated, split),
        out_shardings=whole,
        donate_argnums=(0,) if updates else (),
        compiler_options=_options_known(compiler_options(mesh)),
    )
    return in_32_bits(compiled)


def _compile_pmap(step: Callable[..., Any], mesh: Mesh, updates: bool) -> Callable[..., Any]:
    """A pmap of the step whose replicated arguments and results have no device axis."""

    def whole(replicated: tuple[Any, ...], batch: Any) -> Any:
        return step(*replicated, batch)

    def gathered(replicated: tuple[Any, ...], batch: Any) -> Any:
        # Gathered by the devices, since a process can only read its own rows of their results.
        return jax.lax.all_gather(step(*replicated, batch), AXIS, tiled=True)

    function, devices = (whole if updates else gathered), list(mesh.devices.flat)
    mapped = jax.pmap(function, axis_name=AXIS, in_axes=(None, 0), out_axes=None, devices=devices)
    # As one argument: with an empty one among several JAX 0.10.2 splits the wrong ones.
    return lambda *arguments: mapped(arguments[:-1], arguments[-1])


def all_agree(answer: bool) -> bool:
    """Whether the answer is true on all processes."""
    if jax.process_count() == 1:
        return answer
    return bool(np.all(multihost_utils.process_allgather(np.array(answer))))


def replicate(arrays: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Put complete arrays, the same on every process, on every device."""
    sharding = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(dict(arrays), sharding)
    return {name: jax.make_array_from_process_local_data(sharding, array) for name, array in arrays.items()}


def shard_batch(batch: Mapping[str, Any], mesh: Mesh, mode: Literal["jit", "pmap"]) -> dict[str, Any]:
    """Put this process's rows `[batch / processes, ...]` of a batch on its devices.

    Returns global arrays `[batch, ...]` for `jit`, and `[local devices, batch / devices, ...]` for `pmap`.
    """
    if mode == "pmap":
        count = len(mesh.local_devices)
        # In host memory: pmap would take an array on one device as the part of that device.
        return {name: np.asarray(array).reshape(count, -1, *array.shape[1:]) for name, array in batch.items()}
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    if jax.process_count() == 1:  # all arrays at once, in two thirds of the time
        return jax.device_put(dict(batch), sharding)
    return {name: jax.make_array_from_process_local_data(sharding, np.asarray(x)) for name, x in batch.items()}
