"""Chips that programs can be compiled for without having one: what their makers publish, and their topologies."""

import dataclasses
import re
from typing import Any

import jax
from jax.experimental import topologies

from flaxmark.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Chip:
    """What the maker publishes of a chip.

    Attributes:
        platform: JAX's name of its kind: `tpu` or `cuda`.
        peak: Operations a second in bfloat16.
        bandwidth: Of its memory, bytes a second.
        memory: Bytes.
        interconnect: To other chips, in both directions together, bytes a second.
    """

    platform: str
    peak: float
    bandwidth: float
    memory: float
    interconnect: float


# https://cloud.google.com/tpu/docs/v5e, /v5p, /v6e and /v4, read on 2026-11-24;
# https://www.nvidia.com/en-us/data-center/h100/ (SXM, without sparsity), read on 2026-11-25.
CHIPS = {
    "v4": Chip("tpu", 275e12, 1228e9, 32e9, 300e9),
    "v5e": Chip("tpu", 197e12, 819e9, 16e9, 400e9),
    "v5p": Chip("tpu", 459e12, 2765e9, 95e9, 600e9),
    "v6e": Chip("tpu", 918e12, 1638e9, 32e9, 800e9),
    "h100": Chip("cuda", 989e12, 3350e9, 80e9, 900e9),
}

# What XLA asks a GPU that is there; https://docs.nvidia.com/cuda/hopper-tuning-guide has the limits.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84929347584
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 12 }
runtime_version { major: 13 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def find_chip(topology: str) -> Chip:
    """The chip of a topology.

    Args:
        topology: Such as `v5e:4x4`, or `h100:8` for the GPUs of one machine.

    Returns:
        Its published rates.

    Raises:
        ConfigError: Not a topology of a chip that is known here.
    """
    name = topology.split(":", 1)[0]
    shape = r"\d+" if name == "h100" else r"\d+(x\d+)*"
    if name not in CHIPS or not re.fullmatch(rf"\w+:{shape}", topology):
        raise ConfigError(
            f"--topology {topology}: must be one of {', '.join(CHIPS)}, a colon and a shape, such as v5e:4x4 or h100:8"
        )
    return CHIPS[name]


def find_devices(topology: str, chips: int | None = None) -> list[jax.Device]:
    """Devices to compile for.

    Args:
        topology: As in `find_chip`.
        chips: Only the first so many; all by default.

    Returns:
        Devices that can be compiled for and not run on.

    Raises:
        ConfigError: Unknown topology, fewer chips than asked for, or no compiler for it here.
    """
    chip = find_chip(topology)
    request: dict[str, Any] = {"platform": chip.platform, "topology_name": topology}
    if chip.platform == "cuda":
        shape = f"1x1x{topology.split(':')[1]}"
        request |= {"topology_name": "", "target_config": _H100, "topology": shape}
    jax.devices()  # registers the compilers
    try:
        devices = list(topologies.get_topology_desc(**request).devices)
    except Exception as error:  # JAX raises whatever the compiler's library does
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"--topology {topology}: cannot be compiled for here ({message}); "
            "pip install 'flaxmark[aot]' brings the compilers, and the shape must exist"
        ) from error
    if chips is not None and not 1 <= chips <= len(devices):
        raise ConfigError(f"--chips {chips}: {topology} has 1 to {len(devices)}")
    return devices[:chips]
