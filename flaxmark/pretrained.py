"""Weights to start from: ImageNet's in torchvision's or timm's naming, or those of an own run."""

import collections
import io
import math
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np
import safetensors.numpy

from flaxmark.config import ConfigError
from flaxmark.models import STAGE_SIZES, Variables

Tensors = Mapping[str, np.ndarray]
Sizes = tuple[int, ...]
ReadStorage = Callable[[str, np.dtype, int], np.ndarray]

HEAD = "head"
IGNORED = re.compile(r"fc\.|classifier\.|(.*\.)?num_batches_tracked$")
SHOWN = 6
MAX_BYTES, MAX_PICKLE = 2 * 1024**3, 4_000_000
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER


def start_from(source: str, variables: Variables, depth: int) -> Variables:
    """Replace all but the head of a fresh network.

    Args:
        source: A `.safetensors`, `.pth` or `.pt` file in torchvision's or timm's naming, or the workdir of a run.
        variables: Fresh ones; their head stays, but of an own run with the same number of points.
        depth: Of the network.

    Returns:
        The variables to start with, float32, in host memory.

    Raises:
        ConfigError: The file cannot be used; all tensors that are missing, left over or of another shape are named.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        from flaxmark.checkpoint import load_best

        own, _ = load_best(path)
        return _adopt(_flatten(own), variables, source, keep_head=False)
    if not path.is_file():
        raise ConfigError(f"--model.init-from {source}: no such file, nor the workdir of a run")
    tensors = {name: tensor for name, tensor in read_tensors(path).items() if not IGNORED.match(name)}
    known = {torch: (ours, kind) for ours, torch, kind in torch_names(depth)}
    found, surplus = {}, []
    for name, tensor in tensors.items():
        if name in known:
            ours, kind = known[name]
            found[ours] = (
                np.asarray(tensor, np.float32).transpose(2, 3, 1, 0) if kind == "conv" and tensor.ndim == 4 else tensor
            )
        else:
            surplus.append(name)
    originals = {ours: torch for torch, (ours, _) in known.items()}
    return _adopt(found, variables, source, keep_head=True, surplus=surplus, originals=originals)


def torch_names(depth: int) -> list[tuple[str, str, str]]:
    """How torchvision, and timm after it, call the tensors of a ResNet without its head.

    Args:
        depth: Of the network.

    Returns:
        Our name such as `params/stem_conv/kernel`, theirs such as `conv1.weight`, and `conv` or `norm`.
    """
    names: list[tuple[str, str, str]] = []

    def conv(ours: str, theirs: str) -> None:
        names.append((f"params/{ours}/kernel", f"{theirs}.weight", "conv"))

    def norm(ours: str, theirs: str) -> None:
        for place, own, other in (
            ("params", "scale", "weight"),
            ("params", "bias", "bias"),
            ("batch_stats", "mean", "running_mean"),
            ("batch_stats", "var", "running_var"),
        ):
            names.append((f"{place}/{ours}/{own}", f"{theirs}.{other}", "norm"))

    conv("stem_conv", "conv1")
    norm("stem_norm", "bn1")
    for stage, size in enumerate(STAGE_SIZES[depth], start=1):
        for block in range(size):
            ours, theirs = f"stage{stage}_block{block + 1}", f"layer{stage}.{block}"
            for number in range(1, 3 if depth < 50 else 4):
                conv(f"{ours}/conv{number}", f"{theirs}.conv{number}")
                norm(f"{ours}/norm{number}", f"{theirs}.bn{number}")
            if block == 0 and (stage > 1 or depth >= 50):
                conv(f"{ours}/conv_shortcut", f"{theirs}.downsample.0")
                norm(f"{ours}/norm_shortcut", f"{theirs}.downsample.1")
    return names


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a file; none of its content is ever run.

    Args:
        path: `.safetensors`, or a `.pth` or `.pt` written by torch.save.

    Returns:
        Name -> array, without a leading `module.`; of a training checkpoint what is under `state_dict` or `model`.

    Raises:
        ConfigError: Another kind of file, damaged, too large, or with something else than tensors in it.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: {path.stat().st_size / 1e9:.1f} GB; no ResNet is larger than 2 GB")
    try:
        if path.suffix == ".safetensors":
            tensors: Any = safetensors.numpy.load_file(path)
        elif zipfile.is_zipfile(path):
            tensors = _read_torch_zip(path)
        else:
            tensors = _read_torch_legacy(path)
    except ConfigError:
        raise
    except Exception as error:  # damaged files make their readers raise almost anything
        raise ConfigError(f"{path}: {type(error).__name__}: {error}; not a state_dict that can be read") from error
    for key in ("state_dict", "model"):
        if isinstance(tensors, dict) and isinstance(tensors.get(key), dict):
            tensors = tensors[key]
    if not isinstance(tensors, dict) or not all(isinstance(t, np.ndarray) for t in tensors.values()):
        raise ConfigError(f"{path}: not a state_dict: a dictionary of tensors and nothing else")
    return {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}


_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class _TensorUnpickler(pickle._Unpickler):  # the C one allocates a memo as large as a file asks for
    """Builds dictionaries and tensors, and refuses every other name that a pickle may ask for."""

    def __init__(self, stream: BinaryIO, read_storage: ReadStorage) -> None:
        super().__init__(stream)
        self._read_storage = read_storage
        self.storages: dict[str, np.ndarray] = {}
        self._built = 0

    def find_class(self, module: str, name: str) -> Any:
        """The few names that a state_dict consists of."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"asks for {module}.{name}, which no state_dict needs")

    def persistent_load(self, pid: Any) -> np.ndarray:
        """A storage: numbers that stand outside of the pickle."""
        _, dtype, key, _, count, *_ = pid
        if dtype not in _DTYPES.values() or not isinstance(key, str) or not isinstance(count, int):
            raise pickle.UnpicklingError("names a storage as torch.save does not")
        if key not in self.storages:
            self.storages[key] = self._read_storage(key, np.dtype(dtype), count)
        return self.storages[key]

    def _rebuild_tensor(self, storage: Any, offset: int, size: Sizes, stride: Sizes, *_: Any) -> np.ndarray:
        """A tensor as a view of its storage, which it must not leave, nor be larger than."""
        if not any(storage is known for known in self.storages.values()):
            raise pickle.UnpicklingError("a tensor of something else than a storage")
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if min((offset, *size, *stride)) < 0 or count > len(storage) or (count and last >= len(storage)):
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        self._built += count * storage.itemsize
        if self._built > MAX_BYTES:
            raise pickle.UnpicklingError("its tensors take more than 2 GB")
        return np.lib.stride_tricks.as_strided(storage[offset:], size, [step * storage.itemsize for step in stride])


def _read_torch_zip(path: Path) -> Any:
    """What torch.save has written since 2020; it compresses nothing, so that nothing can unpack to more than it is."""
    with zipfile.ZipFile(path) as archive:
        pickles = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ConfigError(f"{path}: a zip file, but not one of torch.save")
        if pickles[0].file_size > MAX_PICKLE:
            raise ConfigError(f"{path}: its list of tensors is above {MAX_PICKLE // 10**6} MB; no ResNet has so many")
        folder = pickles[0].filename.removesuffix("/data.pkl")

        def read_storage(key: str, dtype: np.dtype, _: int) -> np.ndarray:
            return np.frombuffer(archive.read(f"{folder}/data/{key}"), dtype)

        return _TensorUnpickler(io.BytesIO(archive.read(pickles[0])), read_storage).load()


def _read_torch_legacy(path: Path) -> Any:
    """What torch.save wrote before 2020: five pickles, then the numbers of each storage."""
    size = path.stat().st_size

    def make_storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        if not 0 <= count * dtype.itemsize <= size:
            raise pickle.UnpicklingError("a storage is larger than the file")
        return np.zeros(count, dtype)  # filled in below

    with path.open("rb") as stream:
        plain = [_TensorUnpickler(stream, make_storage).load() for _ in range(3)]
        if plain[0] != LEGACY_MAGIC:
            raise pickle.UnpicklingError("not a file of torch.save")
        unpickler = _TensorUnpickler(stream, make_storage)
        tensors = unpickler.load()
        for key in _TensorUnpickler(stream, make_storage).load():
            storage = unpickler.storages[key]
            if int.from_bytes(stream.read(8), "little") != len(storage):
                raise pickle.UnpicklingError("a storage has another length than its tensors")
            storage[:] = np.frombuffer(stream.read(storage.nbytes), storage.dtype)
    return tensors


def _flatten(tree: Any) -> dict[str, np.ndarray]:
    """Names with slashes -> arrays in host memory."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(key.key) for key in path): np.asarray(leaf) for path, leaf in leaves}


def _adopt(
    found: Tensors,
    variables: Variables,
    source: str,
    *,
    keep_head: bool,
    surplus: list[str] | None = None,
    originals: Mapping[str, str] | None = None,
) -> Variables:
    """Put tensors in their places, or name all that do not fit."""
    own = _flatten(variables)
    names = dict(originals or {})
    heads = {name for name in own if f"/{HEAD}" in name}
    missing, misshapen = [], []
    for name, array in own.items():
        if name in heads and (keep_head or name not in found or found[name].shape != array.shape):
            continue  # another number of points, or a head that the other run has not
        if name not in found:
            missing.append(names.get(name, name))
        elif found[name].shape != array.shape:
            misshapen.append(f"{names.get(name, name)} {list(found[name].shape)} instead of {list(array.shape)}")
        else:
            own[name] = np.asarray(found[name], np.float32)
    left = list(surplus or []) + [n for n in found if n not in own and f"/{HEAD}" not in n]
    wrong = [
        (kind, items) for kind, items in (("missing", missing), ("not known", left), ("misshapen", misshapen)) if items
    ]
    if wrong:
        text = "; ".join(f"{len(items)} {kind}: {_some(items)}" for kind, items in wrong)
        raise ConfigError(f"--model.init-from {source}: not the weights of this network: {text}")
    structure = jax.tree.structure(variables)
    return jax.tree.unflatten(structure, list(own.values()))


def _some(items: list[str]) -> str:
    """The first few, and how many more."""
    rest = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + rest
