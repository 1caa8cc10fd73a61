"""Errors of reading that are not damage, and files that are something else than their names say."""

import bz2
import errno
import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy

from flaxmark.data.images import read_image
from flaxmark.data.readers.coco import read_coco_folder
from flaxmark.data.readers.csv_files import read_csv_folder
from flaxmark.data.readers.dlib import read_dlib
from flaxmark.errors import CheckpointError, DataError, DeviceError, FlaxmarkError, ImageError, StorageError, explain
from flaxmark.faces.markup_files import load_markup
from flaxmark.inference.video.frames import read_frames
from flaxmark.models.weight_files import read_tensors
from flaxmark.storage.packed import load_packed
from flaxmark.system.reading import POINTER, SAFETENSORS, TORCH, kind_of, reading

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def zip_archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("weights.safetensors", b"x")
    return file.getvalue()


def tar_archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("weights.safetensors"))
    return file.getvalue()


def saved() -> bytes:
    return safetensors.numpy.save({"a": np.arange(100, dtype=np.float32)})


CONTENTS = {
    "Git LFS": LFS,
    "git-annex": b"/annex/objects/MD5E-s12--0.pth\n",
    "HTML": b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title>",
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "JSON": b'{"error": "not found"}',
    "empty": b"",
    "ZIP": zip_archive(),
    "tar": tar_archive(),
    "gzip": gzip.compress(tar_archive()),
    "compressed": bz2.compress(tar_archive()),
    "pickle": pickle.dumps({"weight": 1}, protocol=4),
    "zeros": bytes(5000),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "NumPy": b"\x93NUMPY" + bytes(100),
    "image": b"\xff\xd8\xff\xe0" + bytes(100),
    "after 200 bytes": saved()[:200],
    "after 30 bytes": saved()[:30],
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("title", CONTENTS)
def test_something_else_in_place_of_weights_is_named(title: str, tmp_path: Path) -> None:
    for name, read in (("x.safetensors", load_packed), ("x.safetensors", read_tensors), ("x.pth", read_tensors)):
        path = tmp_path / name
        path.write_bytes(CONTENTS[title])
        if path.suffix == ".pth":
            pytest.importorskip("torch")
        with pytest.raises(CheckpointError) as caught:
            read(path)
        assert caught.value.file == path
        assert title in caught.value.reason


@pytest.mark.parametrize("title", ["Git LFS", "HTML", "empty", "ZIP"])
def test_something_else_in_place_of_an_image_or_video_is_named(title: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(CONTENTS[title])
    for source in (path, CONTENTS[title]):
        with pytest.raises(ImageError, match=title):
            read_image(source)
    pytest.importorskip("av")
    with pytest.raises(ImageError, match=title):
        next(read_frames(path))


@pytest.mark.parametrize("title", ["Git LFS", "ZIP"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.csv", lambda path: read_csv_folder(path.parent, 68, path.name, None, None)),
        ("a.json", lambda path: read_coco_folder(path.parent, 68, path.name, None, None)),
        ("a.json", load_markup),
        ("labels_ibug_300W_train.xml", lambda path: read_dlib(path.parent)),
    ],
)
def test_something_else_in_place_of_annotations_is_named(title: str, name: str, read: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(CONTENTS[title])
    with pytest.raises(DataError, match=title) as caught:
        read(tmp_path / name)
    assert caught.value.file == tmp_path / name


def test_files_of_torch_and_safetensors_with_each_other_s_ending(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "a.pth").write_bytes(saved())
    assert kind_of(tmp_path / "a.pth") == SAFETENSORS
    for number, modern in enumerate((True, False)):
        path = tmp_path / f"{number}.safetensors"
        torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=modern)
        assert kind_of(path) == TORCH
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match=r"give it the ending"):
            read_tensors(path)


def test_kind_of_a_pointer_a_folder_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(LFS)
    assert kind_of(tmp_path / "x") == kind_of(str(tmp_path / "x")) == POINTER
    folder = kind_of(tmp_path)
    assert folder is not None
    assert folder.title == "a folder"
    assert kind_of(tmp_path / "none") is None
    (tmp_path / "noise").write_bytes(b"\x07\x01 noise")
    assert kind_of(tmp_path / "noise") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), DeviceError),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), DeviceError),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes."), DeviceError),
        (jax.errors.JaxRuntimeError("INTERNAL: CUDA_ERROR_ECC_UNCORRECTABLE"), DeviceError),
        (RuntimeError("Unable to initialize backend 'tpu': INTERNAL: none"), DeviceError),
        (PermissionError(errno.EACCES, "Permission denied"), StorageError),
        (OSError(errno.EIO, "Input/output error"), StorageError),
        (ValueError("NOT_READ [os_error_code='13'] [source locations='x']"), StorageError),
        (ValueError("UNAVAILABLE: the bucket does not answer"), StorageError),
        (ValueError("CRC mismatch"), ValueError),
        (FileNotFoundError(errno.ENOENT, "No such file"), FileNotFoundError),
    ],
)
def test_only_errors_about_the_content_are_damage(error: Exception, kind: type[Exception], tmp_path: Path) -> None:
    for raised in (error, ExceptionWithCause(error)):
        wanted = kind if kind in (DeviceError, StorageError) or raised is error else ExceptionWithCause
        with pytest.raises(wanted) as caught, reading(tmp_path):
            raise raised
        if isinstance(caught.value, FlaxmarkError):
            assert caught.value.file == tmp_path


class ExceptionWithCause(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__("of a reader")
        self.__cause__ = cause


def test_exit_status_of_missing_memory() -> None:
    assert explain(MemoryError()) == 2
    assert explain(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")) == 2
    assert explain(jax.errors.JaxRuntimeError("INTERNAL: of the compiler")) == 1
