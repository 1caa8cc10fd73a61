"""Files of weights that are damaged, old, or made to harm; the others are in test_pretrained."""

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flaxmark.errors import ConfigError
from flaxmark.models.torch_files import LEGACY_MAGIC, read_tensors


def write_zip(path: Path, content: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    return path


class Evil:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch /tmp/flaxmark_was_here",))


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"asks for posix\.system"):
        read_tensors(write_zip(tmp_path / "evil.pth", {"conv1.weight": Evil()}))
    assert not Path("/tmp/flaxmark_was_here").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.pth", b"\x80\x02}q\x00.", "not a state_dict that can be read"),
        ("x.safetensors", b"\xff" * 40, "not a state_dict that can be read"),
        ("x.pt", b"PK\x03\x04" + b"\0" * 60, "not a state_dict that can be read"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_tensors(tmp_path / name)


class Torch:
    """Pickles as a call of one of torch's functions."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple:
        return (_rebuild_tensor_v2, self.arguments)


def _rebuild_tensor_v2(*_: object) -> None:
    """Pickled by name; the test writes torch's module in its place."""


class Storage:
    def __init__(self, count: int, key: str = "0") -> None:
        self.count, self.key = count, key


class Pickler(pickle.Pickler):
    def persistent_id(self, item: object) -> object:
        return ("storage", "<f4", item.key, "cpu", item.count) if isinstance(item, Storage) else None


def pickled(content: object) -> bytes:
    """As torch.save pickles it: with a name of torch's where ours stands for it."""
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(content)
    ours, torchs = (f"c{module}\n_rebuild_tensor_v2\n".encode() for module in (__name__, "torch._utils"))
    assert ours in stream.getvalue()
    return stream.getvalue().replace(ours, torchs)


def torch_file(folder: Path, content: object, numbers: int, compression: int = zipfile.ZIP_STORED) -> Path:
    """As torch.save writes it: what is pickled, and one storage."""
    with zipfile.ZipFile(folder / "x.pth", "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/data/0", np.arange(numbers, dtype=np.float32).tobytes())
    return folder / "x.pth"


@pytest.mark.parametrize(
    ("size", "stride", "offset", "fails"),
    [
        ((2, 3), (3, 1), 0, False),
        ((3, 2), (1, 3), 0, False),  # a transposed view
        ((2, 3), (3, 1), 1, True),
        ((1000, 1000), (0, 0), 0, True),
        ((2, 3), (-3, 1), 5, True),
        (("a", 3 * 10**9), (1, 1), 0, True),  # multiplied, a text of 3 GB
        ((2**31 + 1, 0), (1, 1), 0, True),
        ((1,) * 33, (1,) * 33, 0, True),
        ((7,), (1,), 0, True),
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
def test_tensors_stay_in_their_storage(
    tmp_path: Path, size: tuple, stride: tuple, offset: int, fails: bool, compression: int
) -> None:
    path = torch_file(tmp_path, {"x": Torch(Storage(6), offset, size, stride)}, 6, compression)
    if fails or compression != zipfile.ZIP_STORED:
        with pytest.raises(ConfigError, match=r"beyond its storage|impossible shape|not one of torch\.save"):
            read_tensors(path)
        return
    expected = np.lib.stride_tricks.as_strided(np.arange(6, dtype=np.float32), size, [4 * step for step in stride])
    np.testing.assert_array_equal(read_tensors(path)["x"], expected)


def test_storages_that_overlap(tmp_path: Path) -> None:
    """The first holds the header and the content of the second."""
    alone = io.BytesIO()
    with zipfile.ZipFile(alone, "w") as other:
        other.writestr("archive/data/1", bytes(4000))
        start = other.start_dir
    inner = other.getinfo("archive/data/1")
    tensors = {key: Torch(Storage(1000, key), 0, (1000,), (1,)) for key in "01"}
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled(tensors))
        inner.header_offset = archive.start_dir + zipfile.sizeFileHeader + len("archive/data/0")
        archive.writestr("archive/data/0", alone.getvalue()[:start])
        archive.filelist.append(inner)
    with pytest.raises(ConfigError, match=r"more than the file|Overlapped entries"):
        read_tensors(tmp_path / "x.pth")


class PairsOf:
    """Pickles as an OrderedDict of something."""

    def __init__(self, content: object) -> None:
        self.content = content

    def __reduce__(self) -> tuple:
        return (collections.OrderedDict, (self.content,))


def test_what_is_said_beside_tensors_is_left(tmp_path: Path) -> None:
    """torch sets `_metadata` in its dictionaries; a file may set `get` as well."""
    tensor = Torch(Storage(6), 0, (3, 2), (2, 1))
    content = collections.OrderedDict(x=tensor)
    vars(content).update(_metadata={}, get=1)
    assert read_tensors(torch_file(tmp_path, content, 6))["x"].tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ConfigError, match="not a state_dict: a dictionary of tensors"):
        read_tensors(torch_file(tmp_path, {7: tensor}, 6))
    with pytest.raises(ConfigError, match="a dictionary of something else than pairs"):
        read_tensors(torch_file(tmp_path, PairsOf(tensor), 6))


def legacy(size: int = 6, stored: int = 6, magic: int = LEGACY_MAGIC) -> bytes:
    """A tensor of six numbers as torch.save wrote it before 2020; `size` is what its list says of the storage."""
    plain = [pickle.dumps(content, protocol=2) for content in (magic, 1001, {"little_endian": True}, ["0"])]
    tensors = pickled({"x": Torch(Storage(size), 0, (6,), (1,))})
    numbers = stored.to_bytes(8, "little") + np.arange(6, dtype=np.float32).tobytes()
    return b"".join([*plain[:3], tensors, plain[3], numbers])


def test_files_of_old_versions_of_torch(tmp_path: Path) -> None:
    (tmp_path / "old.pth").write_bytes(legacy())
    assert read_tensors(tmp_path / "old.pth")["x"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (legacy(size=10**9), "a storage is larger than the file"),
        (legacy(stored=7), "another length than its tensors"),
        (legacy(magic=1), r"not a file of torch\.save"),
        (legacy()[:-1], "buffer|broadcast"),
        (b"\x80\x05\x96" + (10**13).to_bytes(8, "little") + b".", "not a state_dict that can be read"),
        (b"\x80\x05\x8e" + (10**13).to_bytes(8, "little") + b".", "its list of tensors is above 4 MB"),
        (b"\x80\x02c" + b"a" * 5000 + b"\nb\n.", "^.{,500}$"),
        (b"\x80\x02I" + b"1" * 5_000_000, "its list of tensors is above 4 MB"),
    ],
)
def test_old_files_that_are_damaged(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "old.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_tensors(tmp_path / "old.pth")


def test_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "x.pth", {"x": "y" * 1000})
    monkeypatch.setattr("flaxmark.models.torch_files.MAX_PICKLE", 999)
    with pytest.raises(ConfigError, match="its list of tensors is above"):
        read_tensors(path)
    monkeypatch.setattr("flaxmark.models.torch_files.MAX_BYTES", 999)
    with pytest.raises(ConfigError, match="no ResNet is larger"):
        read_tensors(path)


@pytest.mark.parametrize("tensors", [9, 10])
def test_one_storage_makes_no_more_tensors_than_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors: int
) -> None:
    storage = Storage(1000)
    path = torch_file(tmp_path, {str(i): Torch(storage, 0, (1000,), (1,)) for i in range(tensors)}, 1000)
    monkeypatch.setattr("flaxmark.models.torch_files.MAX_BYTES", 4 * 9999)
    if tensors < 10:
        assert len(read_tensors(path)) == tensors
    else:
        with pytest.raises(ConfigError, match="its tensors take more than"):
            read_tensors(path)


def test_other_dictionaries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a dictionary of tensors and nothing else"):
        read_tensors(write_zip(tmp_path / "x.pth", collections.OrderedDict(a=3)))
