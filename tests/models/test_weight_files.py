"""Files of weights that are damaged, too large, or made to harm; sound ones are in test_pretrained."""

import collections
import io
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from flaxmark.errors import CheckpointError, MissingPackageError
from flaxmark.models import weight_files
from flaxmark.models.weight_files import read_tensors


class Evil:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch {self.mark}",))


def as_zip(content: object, compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def hostile(mark: Path) -> list[bytes]:
    """In torch's format of today, as a plain pickle, and in the format before 2020, whose first pickle is a number."""
    legacy = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}, Evil(mark), []))
    return [as_zip({"x": Evil(mark)}), pickle.dumps({"x": Evil(mark)}, protocol=2), legacy]


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("without_torch")
def test_without_torch_no_pth_is_opened(tmp_path: Path) -> None:
    path, mark = tmp_path / "resnet.pth", tmp_path / "was_here"
    for content in (*hostile(mark), b"nothing"):
        path.write_bytes(content)
        with pytest.raises(MissingPackageError) as caught:
            read_tensors(path)
        assert caught.value.file == path
        assert "resnet.safetensors" in caught.value.reason  # how to convert it
        assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_with_torch_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path, mark = tmp_path / "resnet.pth", tmp_path / "was_here"
    for content in hostile(mark):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_tensors(path)
        assert caught.value.file == path
        assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.safetensors", b"\xff" * 40),
        ("x.safetensors", b""),
        ("x.pth", b"\x80\x02}q\x00."),
        ("x.pth", b""),
        ("x.pt", b"PK\x03\x04" + b"\0" * 60),
        ("x.pt", as_zip({7: 8})),
        ("x.pth", as_zip(collections.OrderedDict(a=3))),
        ("x.pth", as_zip({"a": Path("/etc")})),
        ("x.pth", b"\x80\x02c" + b"a" * 5000 + b"\nb\n."),
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, name: str, content: bytes) -> None:
    if name != "x.safetensors":
        pytest.importorskip("torch")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_tensors(tmp_path / name)
    assert caught.value.file == tmp_path / name
    assert "\n" not in str(caught.value)
    assert len(caught.value.reason) < 300


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_tensors(tmp_path / "nothing.safetensors")
    assert caught.value.file == tmp_path / "nothing.safetensors"


def test_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(250, np.float32)}, path)
    assert read_tensors(path)["x"].shape == (250,)
    for limit in (999, path.stat().st_size - 1):
        monkeypatch.setattr(weight_files, "MAX_BYTES", limit)
        with pytest.raises(CheckpointError) as caught:
            read_tensors(path)
        assert caught.value.file == path


def saved(tmp_path: Path, content: Any, **options: Any) -> Path:
    torch = pytest.importorskip("torch")
    torch.save(content, tmp_path / "x.pth", **options)
    return tmp_path / "x.pth"


def test_one_storage_makes_no_more_tensors_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    storage = torch.zeros(1000)
    path = saved(tmp_path, {str(i): storage for i in range(10)} | {"wide": storage[:1].expand(10**7)})
    assert path.stat().st_size < 10_000
    assert read_tensors(path)["wide"].shape == (10**7,)
    monkeypatch.setattr(weight_files, "MAX_BYTES", 10_000)
    with pytest.raises(CheckpointError):
        read_tensors(path)


def test_files_that_unpack_to_more_than_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "x.pth"
    path.write_bytes(as_zip({"x": "y" * 100_000}, zipfile.ZIP_DEFLATED))
    monkeypatch.setattr(weight_files, "MAX_BYTES", 10_000)
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    assert "unpacks" in caught.value.reason


@pytest.mark.parametrize("zipped", [True, False])
def test_views_and_names_as_torch_saves_them(tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    content = {"epoch": 3, "model": {"module.x": torch.nn.Parameter(numbers), "y": numbers.T, "n": torch.tensor(7)}}
    tensors = read_tensors(saved(tmp_path, content, _use_new_zipfile_serialization=zipped))
    assert tensors["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["y"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["n"] == 7
