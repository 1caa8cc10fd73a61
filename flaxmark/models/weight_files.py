"""Files of weights: safetensors, and `.pth` by PyTorch where it is installed. Nothing in a file is ever run."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from flaxmark.errors import CheckpointError, FlaxmarkError, MissingPackageError
from flaxmark.system.reading import SAFETENSORS, TORCH, kind_of, reading

MAX_BYTES = 2 * 1024**3
MAX_REASON = 200  # characters of a library's message

CONVERT = (
    "a file of torch.save is read by PyTorch, which is not installed: pip install torch, or convert the file where it "
    'is: python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('{name}', weights_only=True), '{stem}.safetensors')\""
)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `.safetensors`, `.pth` or `.pt` file by name, without a leading `module.`.

    Of a training checkpoint it takes what is under `state_dict` or `model`. Raises CheckpointError for a file that is
    too large or damaged or holds anything but tensors, MissingPackageError for `.pth` without PyTorch.
    """
    try:
        with reading(path):
            if path.stat().st_size > MAX_BYTES:
                reason = f"{path.stat().st_size / 1e9:.1f} GB; files of more than 2 GB are not read"
                raise CheckpointError(reason, file=path)
            content = safetensors.numpy.load_file(path) if path.suffix == ".safetensors" else _read_torch(path)
            tensors = _state_dict(content)
    except FlaxmarkError:
        raise
    except Exception as error:  # damaged files make their readers raise almost anything
        kind = kind_of(path)
        known = kind is not None and kind != (SAFETENSORS if path.suffix == ".safetensors" else TORCH)
        quoted = " ".join(str(error).split())[:MAX_REASON]  # it may quote the file
        reason = str(kind) if known else f"no weights that can be read ({type(error).__name__}: {quoted})"
        raise CheckpointError(reason, file=path) from error
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_BYTES:  # views of one storage can be any number
        raise CheckpointError("its tensors take more than 2 GB", file=path)
    return tensors


def _read_torch(path: Path) -> Any:
    """What torch.save has written, by its loader that builds nothing but tensors and plain containers."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingPackageError(CONVERT.format(name=path.name, stem=path.stem), file=path) from error
    modern = zipfile.is_zipfile(path)
    if modern:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise CheckpointError("it unpacks to more than 2 GB", file=path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=modern)


def _state_dict(content: Any) -> dict[str, np.ndarray]:
    """The dictionary of tensors in a file's content; ValueError where there is none."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError("not a dictionary of tensors")
    return {name.removeprefix("module."): _array(name, value) for name, value in content.items()}


def _array(name: str, value: Any) -> np.ndarray:
    """A tensor of NumPy or PyTorch as an array."""
    if isinstance(value, np.ndarray):
        return value
    if type(value).__module__.partition(".")[0] != "torch" or not hasattr(value, "detach"):
        raise ValueError(f"{name} is no tensor")
    return np.asarray(value.detach().numpy())
