"""Files of weights, as torch.save and safetensors write them, read without running anything in them."""

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import safetensors.numpy

from flaxmark.errors import ConfigError

Sizes = tuple[int, ...]
ReadStorage = Callable[[str, np.dtype, int], np.ndarray]

MAX_BYTES, MAX_PICKLE = 2 * 1024**3, 4_000_000
MAX_REASON, MAX_AXES = 200, 32
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER


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
        reason = " ".join(str(error).split())[:MAX_REASON]  # it may quote the file
        raise ConfigError(f"{path}: not a state_dict that can be read ({type(error).__name__}: {reason})") from error
    for key in ("state_dict", "model"):
        if isinstance(tensors, dict) and isinstance(tensors.get(key), dict):
            tensors = tensors[key]
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, np.ndarray) for name, tensor in tensors.items()
    ):
        raise ConfigError(f"{path}: not a state_dict: a dictionary of tensors and nothing else")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


def _make_dictionary(pairs: Any = ()) -> dict[Any, Any]:
    """As `collections.OrderedDict`, but an array with two columns is not taken for pairs: it has too many of them."""
    if not isinstance(pairs, list | tuple):
        raise pickle.UnpicklingError("a dictionary of something else than pairs")
    return dict(pairs)


def _drop_attributes(unpickler: Any) -> None:
    """Leave what a pickle would set in an object: `_metadata` in dictionaries of torch, anything in those of others."""
    unpickler.stack.pop()


_LOADERS = pickle._Unpickler.dispatch


class _TensorUnpickler(pickle._Unpickler):  # the C one allocates a memo as large as a file asks for
    """Builds dictionaries and tensors, and refuses every other name that a pickle may ask for."""

    # It would make room for as many bytes as the file says, before it looks whether they are there.
    dispatch: ClassVar = {code: load for code, load in _LOADERS.items() if code != pickle.BYTEARRAY8[0]} | {
        pickle.BUILD[0]: _drop_attributes
    }

    def __init__(self, stream: "BinaryIO | _Pickles", read_storage: ReadStorage) -> None:
        super().__init__(stream)
        self._read_storage = read_storage
        self.storages: dict[str, np.ndarray] = {}
        self._built = 0

    def find_class(self, module: str, name: str) -> Any:
        """The few names that a state_dict consists of."""
        if (module, name) == ("collections", "OrderedDict"):
            return _make_dictionary
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
        numbers = (offset, *size, *stride)
        # Texts and huge numbers would be multiplied into more than memory holds.
        if len(numbers) > 1 + 2 * MAX_AXES or not all(type(n) is int and abs(n) <= MAX_BYTES for n in numbers):
            raise pickle.UnpicklingError("a tensor of an impossible shape")
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if min(numbers) < 0 or count > len(storage) or (count and last >= len(storage)):
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        self._built += count * storage.itemsize
        if self._built > MAX_BYTES:
            raise pickle.UnpicklingError("its tensors take more than 2 GB")
        return np.lib.stride_tricks.as_strided(storage[offset:], size, [step * storage.itemsize for step in stride])


class _Pickles:
    """The pickles at the start of a file, which may not be longer than those of a network."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, MAX_PICKLE

    def read(self, count: int) -> bytes:
        """As of a file."""
        return self._counted(count, self._stream.read)

    def readline(self) -> bytes:
        """As of a file."""
        return self._counted(0, lambda _: self._stream.readline(self._left + 1))

    def _counted(self, count: int, read: Callable[[int], bytes]) -> bytes:
        content = read(count) if count <= self._left else b""
        self._left -= max(count, len(content))
        if self._left < 0:
            raise pickle.UnpicklingError(
                f"its list of tensors is above {MAX_PICKLE // 10**6} MB; no ResNet has so many"
            )
        return content


def _read_torch_zip(path: Path) -> Any:
    """What torch.save has written since 2020; it compresses nothing, so that nothing can unpack to more than it is."""
    with zipfile.ZipFile(path) as archive:
        pickles = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ConfigError(f"{path}: a zip file, but not one of torch.save")
        if pickles[0].file_size > MAX_PICKLE:
            raise ConfigError(f"{path}: its list of tensors is above {MAX_PICKLE // 10**6} MB; no ResNet has so many")
        folder, left = pickles[0].filename.removesuffix("/data.pkl"), path.stat().st_size

        def read_storage(key: str, dtype: np.dtype, _: int) -> np.ndarray:
            nonlocal left
            entry = archive.getinfo(f"{folder}/data/{key}")
            left -= entry.file_size  # entries may overlap, so that each has nearly all of the file
            if left < 0:
                raise pickle.UnpicklingError("its storages are more than the file")
            return np.frombuffer(archive.read(entry), dtype)

        return _TensorUnpickler(io.BytesIO(archive.read(pickles[0])), read_storage).load()


def _read_torch_legacy(path: Path) -> Any:
    """What torch.save wrote before 2020: five pickles, then the numbers of each storage."""
    size = path.stat().st_size

    def make_storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        if not 0 <= count * dtype.itemsize <= size:
            raise pickle.UnpicklingError("a storage is larger than the file")
        return np.zeros(count, dtype)  # filled in below

    with path.open("rb") as stream:
        pickles = _Pickles(stream)
        plain = [_TensorUnpickler(pickles, make_storage).load() for _ in range(3)]
        if plain[0] != LEGACY_MAGIC:
            raise pickle.UnpicklingError("not a file of torch.save")
        unpickler = _TensorUnpickler(pickles, make_storage)
        tensors = unpickler.load()
        for key in _TensorUnpickler(pickles, make_storage).load():
            if not isinstance(key, str) or key not in unpickler.storages:
                raise pickle.UnpicklingError("a storage of no tensor")
            storage = unpickler.storages[key]
            if int.from_bytes(stream.read(8), "little") != len(storage):
                raise pickle.UnpicklingError("a storage has another length than its tensors")
            storage[:] = np.frombuffer(stream.read(storage.nbytes), storage.dtype)
    return tensors
