"""Exit statuses, and an exception for each kind of error that programs may want to catch."""

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUR_ERROR, USER_ERROR, INTERRUPTED = 1, 2, 130
PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: try again

# Package -> the extra that installs it, for the message if it is missing.
EXTRAS = {
    "tensorflow": "train", "tensorflow_datasets": "train", "matplotlib": "train", "tensorboardX": "train",
    "jinja2": "train", "markupsafe": "train", "filelock": "train", "av": "video", "onnx": "export",
    "onnxruntime": "export", "gradio": "demo",
}  # fmt: skip


class FlaxmarkError(ValueError):
    """Base of all errors that the user can fix; as text, one line with the place and the remedy.

    Attributes:
        reason: What is wrong, and what to do about it.
        field: The setting or argument that is wrong, dotted (`data.image_size`), or None.
        value: The value of that field, or None.
        file: The file or folder that is wrong, or None.
    """

    def __init__(
        self, reason: str, *, field: str | None = None, value: Any = None, file: str | Path | None = None
    ) -> None:
        """Store the reason, and the setting or file that it is about."""
        super().__init__(reason)
        self.reason, self.field, self.value, self.file = reason, field, value, file

    def __str__(self) -> str:
        """One line, with the field's name as Python programs write it."""
        return self.line(self.field)

    def line(self, name: str | None) -> str:
        """One line, with the given name for the field, such as its flag."""
        about = " ".join(part for part in (name, _shown(self.value)) if part)
        return ": ".join(part for part in (about, str(self.file or ""), self.reason) if part)


def _shown(value: Any) -> str:
    """A field's value as it is typed; nothing for None and for switches, whose flags take no value."""
    if value is None or isinstance(value, bool):
        return ""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


class ConfigError(FlaxmarkError):
    """A setting, flag or config file that cannot be used."""


class DataError(FlaxmarkError):
    """A data set, annotation file or list of files that cannot be used."""


class ImageError(FlaxmarkError):
    """An image or video that cannot be read."""


class CheckpointError(FlaxmarkError):
    """A workdir, checkpoint or file of weights that cannot be used."""


class DeviceError(FlaxmarkError):
    """A missing device or cluster, or a device or machine without enough memory."""


class DetectorError(FlaxmarkError):
    """A face detector that is missing, or that returned anything but boxes."""


class StorageError(FlaxmarkError):
    """A file or folder that the system does not let be read or written: missing permission, a full disk, a quota."""


class MissingPackageError(FlaxmarkError):
    """A required package that is not installed; the message says how to install it."""


def device_error(error: BaseException) -> DeviceError | None:
    """The DeviceError about a device that does not start or missing memory, also as a cause; None for other errors."""
    for cause in causes(error):
        if isinstance(cause, DeviceError):
            return cause
        text = str(cause).strip().partition("\n")[0]
        reason = f" ({text})" if text else ""
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno == errno.ENOMEM):
            return DeviceError(f"the machine has not enough memory{reason}; close other programs, or use less at once")
        if is_of_jax(cause) and "RESOURCE_EXHAUSTED" in text:
            return DeviceError(
                f"a device has not enough memory{reason}; end other programs that use it, or use smaller batches"
            )
        if isinstance(cause, RuntimeError) and text.startswith("Unable to initialize backend"):
            return DeviceError(text)
    return None


def is_of_jax(error: BaseException) -> bool:
    """Whether JAX's runtime raised the error; asked by name, since JAX need not be loaded."""
    return type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from or during."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def explain(error: Exception) -> int:
    """Print an error in one line and return the exit status."""
    if not isinstance(error, FlaxmarkError):
        error = device_error(error) or error
    if isinstance(error, FlaxmarkError):
        flag = None if error.field is None else flag_of(error.field)
        print(f"error: {error.line(flag)}", file=sys.stderr)
        return USER_ERROR
    missing = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in EXTRAS:
        print(f"error: this needs {missing}: pip install 'flaxmark[{EXTRAS[missing]}]'", file=sys.stderr)
        return USER_ERROR
    kind = type(error).__name__
    print(f"error: {kind}: {' '.join(str(error).split())} (--debug shows where)", file=sys.stderr)
    return OUR_ERROR


def flag_of(field: str) -> str:
    """The flag of a config field or argument: `--data.image-size` for `data.image_size`; variables keep their name."""
    return field if field.isupper() else f"--{field.replace('_', '-')}"
