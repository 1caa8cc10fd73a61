"""Chips that programs can be compiled for without owning one: published rates and topologies."""

import dataclasses
import re
from typing import Any

import jax
from jax.experimental import topologies

from flaxmark.errors import ConfigError, DeviceError
from flaxmark.system.devices import start_devices


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published rates of a chip.

    Attributes:
        platform: JAX's name of the platform: `tpu` or `cuda`.
        peak: Operations per second in bfloat16.
        bandwidth: Memory bandwidth, bytes per second.
        memory: Memory, bytes.
        interconnect: Bandwidth to other chips, both directions together, bytes per second.
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

# Properties that XLA reads from a GPU that is present; https://docs.nvidia.com/cuda/hopper-tuning-guide has the limits.
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
    """The chip of a topology such as `v5e:4x4`, or `h100:8` for the GPUs of one machine; ConfigError if unknown."""
    name = topology.split(":", 1)[0]
    shape = r"\d+" if name == "h100" else r"\d+(x\d+)*"
    if name not in CHIPS or not re.fullmatch(rf"\w+:{shape}", topology):
        reason = f"must be one of {', '.join(CHIPS)}, a colon and a shape, such as v5e:4x4 or h100:8"
        raise ConfigError(reason, field="topology", value=topology)
    return CHIPS[name]


def find_devices(topology: str, chips: int | None = None) -> list[jax.Device]:
    """Devices of a topology, or its first `chips` devices; programs can be compiled for them but not run.

    Raises ConfigError for an unknown topology or too many chips, DeviceError without a compiler for it.
    """
    chip = find_chip(topology)
    request: dict[str, Any] = {"platform": chip.platform, "topology_name": topology}
    if chip.platform == "cuda":
        shape = f"1x1x{topology.split(':')[1]}"
        request |= {"topology_name": "", "target_config": _H100, "topology": shape}
    start_devices()  # registers the compilers
    try:
        devices = list(topologies.get_topology_desc(**request).devices)
    except Exception as error:  # JAX passes on any exception of the compiler's library
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = f"cannot be compiled for here ({message}); pip install 'flaxmark[aot]' and check that the shape exists"
        raise DeviceError(reason, field="topology", value=topology) from error
    if chips is not None and not 1 <= chips <= len(devices):
        raise ConfigError(f"{topology} has 1 to {len(devices)}", field="chips", value=chips)
    return devices[:chips]
