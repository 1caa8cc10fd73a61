"""Inputs of the predict command: files, folders, patterns, and what is passed over."""

from collections import Counter
from pathlib import Path

import pytest
from helpers.images import save_red, write_folder

from flaxmark.errors import ConfigError
from flaxmark.inference.files.inputs import count_suffixes, find_inputs


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "in")


def test_inputs_are_files_folders_and_patterns(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images)
    assert [item.name for item in find_inputs(["."])] == ["a.png", "b.png", "sub/broken.jpg", "sub/c.png"]
    assert [item.name for item in find_inputs(["b.png", "*.png"])] == ["b.png", "a.png"]  # b.png comes once
    assert [item.name for item in find_inputs(["**/*.png"])] == ["a.png", "b.png", "sub/c.png"]
    assert [item.name for item in find_inputs(["../in/a.png"])] == ["a.png"]
    assert [item.name for item in find_inputs(["../in/*/*.png"])] == ["sub/c.png"]
    assert [item.name for item in find_inputs(["."], [Path("sub")])] == ["a.png", "b.png"]  # the folder of the drawings
    save_red(images / "odd[1].png", 1)
    assert [item.name for item in find_inputs(["odd[1].png"])] == ["odd[1].png"]  # a file, so not a pattern
    assert find_inputs(["clip.MP4"])[0].is_video
    (images / "empty").mkdir()
    (images / "empty" / "raw.HEIC").touch()  # cannot be read, and is reported
    assert [item.name for item in find_inputs(["empty"])] == ["raw.HEIC"]
    (images / "empty" / "raw.HEIC").unlink()
    assert len(find_inputs(["x" * 300 + ".jpg"])) == 1  # as any other missing file
    for names, file in (([], None), ([""], None), (["*.gif"], "*.gif"), (["empty"], "empty")):
        with pytest.raises(ConfigError) as caught:
            find_inputs(names)
        assert caught.value.file == file


def test_every_kind_of_file_in_a_folder_is_taken_or_counted(tmp_path: Path) -> None:
    taken = ["a.JFIF", "b.jpe", "c.avif", "d.HEIC", "e.MTS", "f.m2ts", "g.flv", "h.3GP", "i.ts", "k.raw.NEF"]
    passed = ["a.txt", "b.TXT", "c.pts", "LICENSE", "component.ts", ".hidden.txt"]
    for name in (*taken, *passed):
        (tmp_path / name).touch()
    (tmp_path / "i.ts").write_bytes((b"G" + bytes(187)) * 3)
    (tmp_path / "component.ts").write_text("const face = 1;")
    counts: Counter[str] = Counter()
    assert [item.name for item in find_inputs([str(tmp_path)], (), counts)] == taken
    assert counts == {".txt": 2, ".pts": 1, "": 1, ".ts": 1}
    assert count_suffixes(counts) == "2 .txt, 1 without a suffix, 1 .pts, 1 .ts"
    for number in range(20):
        counts[f".{number:02}"] += 30
    assert count_suffixes(counts).endswith("30 .07, 365 others")


@pytest.mark.parametrize("name", ["https://example.org/a.jpg", "gs://bucket/a.jpg", "http://127.0.0.1:8000/"])
def test_an_address_is_not_a_file(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_inputs([name])
    assert caught.value.file == name
