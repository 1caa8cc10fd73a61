"""Atomic writes, and checks of output paths."""

import os
from pathlib import Path

import pytest
from etils import epath

from flaxmark.errors import ConfigError, FlaxmarkError, StorageError
from flaxmark.system.files import atomic_write, new_file, new_folder, try_lock, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_text(path, "old\n")
    with atomic_write(path) as temporary:
        assert temporary.suffix == ".json"
        assert temporary.name.startswith(".")
        temporary.write_text("half")
        assert path.read_text() == "old\n"
    assert path.read_text() == "half"
    assert names(tmp_path) == ["x.json"]


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path: Path, ending: type[BaseException]) -> None:
    write_text(tmp_path / "x", "old")
    with pytest.raises(ending), atomic_write(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise ending
    with pytest.raises(ending), atomic_write(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "y").write_text("half")
        raise ending
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_nothing_written_is_nothing_replaced(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x"):
        pass
    assert names(tmp_path) == []


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("")
    leftover = tmp_path / "folder.incomplete"  # of a killed process
    leftover.mkdir()
    (leftover / "half").write_text("")
    with atomic_write(target, "folder.incomplete") as temporary:
        assert temporary == leftover
        temporary.mkdir()
        (temporary / "new").write_text("")
    assert names(tmp_path) == ["folder"]
    assert names(target) == ["new"]


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "precious").write_text("")
    with pytest.raises(OSError):
        write_text(tmp_path / "x", "text")
    assert names(tmp_path) == ["x"]
    assert names(tmp_path / "x") == ["precious"]


def test_two_writes_at_once_and_the_longest_names(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".txt")
    with atomic_write(path) as one, atomic_write(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert names(tmp_path) == [path.name]


def test_paths_of_remote_storage(tmp_path: Path) -> None:
    with atomic_write(epath.Path(tmp_path) / "x.json") as temporary:
        temporary.write_bytes(b"1")
    assert names(tmp_path) == ["x.json"]


@pytest.mark.parametrize(
    ("out", "kind"),
    [("x.jpg", ConfigError), ("nowhere/x.md", ConfigError), ("old.md", ConfigError), ("folder.md", ConfigError)],
)
def test_output_files_that_are_refused(tmp_path: Path, out: str, kind: type[FlaxmarkError]) -> None:
    (tmp_path / "old.md").write_text("")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(kind) as caught:
        new_file(str(tmp_path / out), False, (".md",))
    assert caught.value.field == "out"
    assert caught.value.value == str(tmp_path / out)


def test_output_files_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("")
    assert new_file(None, False, (".md",)) is None
    assert new_file(str(tmp_path / "new.MD"), False, (".md",)) == tmp_path / "new.MD"
    assert new_file(str(tmp_path / "old.md"), True, (".md",)) == tmp_path / "old.md"


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert new_folder("out", tmp_path / "a" / "b").is_dir()
    with pytest.raises(StorageError) as caught:
        new_folder("out", tmp_path / "file" / "b")
    assert caught.value.field == "out"
    with pytest.raises(StorageError, match="is a file, not a folder"):
        new_folder("out", tmp_path / "file")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="Linux has such a folder")
def test_a_folder_that_only_seems_to_be_writable() -> None:
    with pytest.raises(StorageError) as caught:
        new_file("/proc/x.md", False, (".md",))
    assert caught.value.field == "out"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    for refused in (lambda: new_file(str(tmp_path / "x.md"), False, (".md",)), lambda: new_folder("out", tmp_path)):
        with pytest.raises(StorageError) as caught:
            refused()
        assert caught.value.field == "out"


def test_addresses_are_no_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Path would make a folder `https:` of one."""
    monkeypatch.chdir(tmp_path)
    for name in ("https://example.org/x.md", "s3://bucket/x.md", "-"):
        for refused in (lambda name=name: new_file(name, True, (".md", "")), lambda name=name: new_folder("out", name)):
            with pytest.raises(ConfigError) as caught:
                refused()
            assert caught.value.field == "out"
    assert names(tmp_path) == []


def test_a_lock_ends_with_the_file(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as first, (tmp_path / "x").open("w") as second:
        assert try_lock(first.fileno())
        assert not try_lock(second.fileno())
        first.close()
        assert try_lock(second.fileno())
