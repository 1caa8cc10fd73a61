"""Predictions that are stopped or killed: nothing that is done is lost, and `--resume` goes on."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import as_command
from PIL import Image

from flaxmark.errors import ConfigError, StorageError
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference.face import Face
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.files.partial import Format, PartialResults
from flaxmark.inference.files.writers import make_writer

FOLDER = tempfile.TemporaryDirectory()
FORMATS: tuple[Format, ...] = ("jsonl", "csv", "pts", "coco")
# The command with a network that hangs at the image of a number.
PREDICT = """
import sys, time, types
import numpy as np
from flaxmark.cli.main import run_main
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference.face import Face

class Predictor:
    max_megapixels, left_out, markup, metadata = 64.0, 0, FIVE_POINTS, {"terms": "free"}
    def __init__(self, *_, **__):
        pass
    def predict_many(self, images, boxes):
        for number, image in enumerate(images):
            if number == int(sys.argv[1]):
                print("stuck", flush=True)
                time.sleep(100)
            points = np.array([[1.0, 2], [9, 2], [5, 5], [2, 8], [8, 8]]) + image[0, 0, 0]
            yield [Face(points + i, np.array([1.0, 2, 9, 8]), 0.5) for i in range(int(image[0, 0, 0]) % 3)]

module = types.ModuleType("flaxmark.inference.predictor")
module.Predictor = Predictor
sys.modules[module.__name__] = module
from flaxmark.cli.commands import predict
run_main(predict.main, sys.argv[2:])
"""


def start(stuck_at: int, *arguments: str | Path) -> subprocess.Popen[str]:
    """A predict that hangs at an image of this number, when everything before is written."""
    line = [*as_command(Path(FOLDER.name), PREDICT), str(stuck_at), *map(str, arguments)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if stuck_at >= 0:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
    return process


def finish(*arguments: str | Path) -> tuple[int, str]:
    with start(-1, *arguments) as process:
        _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(7):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


def test_a_killed_run_goes_on_after_the_last_whole_line(images: Path, tmp_path: Path) -> None:
    out, partial = tmp_path / "x.jsonl", tmp_path / "x.jsonl.partial"
    with start(5, images, "--out", out) as process:
        process.kill()
    before = partial.read_bytes()
    assert before.count(b"\n") == 5
    with partial.open("ab") as stream:
        stream.write(b'{"image": "to')  # torn
    status, said = finish(images, "--out", out)
    assert (status, said.count("\n")) == (2, 1)
    assert str(partial) in said
    assert partial.read_bytes().startswith(before)  # nothing is replaced without a word
    status, said = finish(images, "--out", out, "--resume")
    assert status == 0, said
    assert "5 of 7" in said
    assert out.read_bytes().startswith(before)
    assert [Path(json.loads(line)["image"]).stem for line in out.read_text().splitlines()] == list("0123456")
    assert not partial.exists()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGHUP, 75)], ids=["INT", "TERM", "HUP"]
)
def test_a_stopped_run_says_how_to_go_on(images: Path, tmp_path: Path, number: signal.Signals, status: int) -> None:
    out = tmp_path / "x.jsonl"
    with start(2, images, "--out", out) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == status
    (line,) = [line for line in said.splitlines() if line.startswith("interrupted")]
    assert f"{out}.partial" in line
    assert "--resume" in line
    assert not out.exists()
    assert len((tmp_path / "x.jsonl.partial").read_text().splitlines()) == 2


def test_nohup_is_respected_and_the_file_is_locked(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the process inherits it
    try:
        process = start(2, images, "--out", out)
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        process.send_signal(signal.SIGHUP)
        status, said = finish(images, "--out", out, "--resume")
        assert (status, said.count("\n")) == (2, 1)
        assert process.poll() is None
        process.kill()
    with PartialResults("jsonl", out, resume=True) as results:  # the lock has ended with its process
        assert len(results.done) == 2


def test_a_closed_terminal_ends_it_as_sigterm_does(images: Path, tmp_path: Path) -> None:
    """Its terminal is gone, so that whatever it writes there raises an error."""
    main, terminal = pty.openpty()
    line = [*as_command(Path(FOLDER.name), PREDICT), "3", str(images), "--out", str(tmp_path / "x.jsonl")]
    child = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", child, *line], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    with process:
        said = b""
        while b"stuck" not in said:
            said += os.read(main, 1000)
        os.close(main)
        assert process.wait(timeout=60) == 75
    assert len((tmp_path / "x.jsonl.partial").read_text().splitlines()) == 3


POINTS = np.array([[1.0, 2], [9, 2], [5, 5], [2, 8], [8, 8]])


def write(form: Format, out: Path, numbers: range, finished: bool, **flags: bool) -> set[str]:
    """Write images of 1, 2, 3 and no faces in turn, and stop as a kill does, or finish."""
    results = PartialResults(form, out, **flags)
    writer = make_writer(form, results, FIVE_POINTS, "free")
    for number in numbers:
        item = Input(Path("in", f"{number}.png"), f"{number}.png")
        if results.key_of(item.path, item.name) not in results.done:
            faces = [Face(POINTS + 10 * number + i, np.array([1.0, 2, 9, 8])) for i in range((number + 1) % 4)]
            writer.write(item, (40, 30), faces, {})
    done = results.done
    if finished:
        writer.close()
    else:
        results._file.close()
    return done


def contents(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else [out]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_goes_on(tmp_path: Path, form: Format) -> None:
    """Whole, killed once with a torn line, killed a second time, and added to: the same files."""
    whole, out = tmp_path / "whole" / f"x.{form}", tmp_path / f"x.{form}"
    whole.parent.mkdir()
    write(form, whole, range(9), True)
    partial = out / "predict.partial" if form == "pts" else out.with_name(out.name + ".partial")
    write(form, out, range(5), False)
    with partial.open("ab") as stream:
        stream.write(b"in/5.png,," if form == "csv" else b'{"image": "in/5.p')
    before = partial.read_bytes()
    with pytest.raises(ConfigError) as caught:
        write(form, out, range(7), True)
    assert caught.value.field == "out"
    assert partial.read_bytes() == before
    done = write(form, out, range(7), False, resume=True)
    assert len(done) == (4 if form == "csv" else 5)  # of a torn CSV file the last image may be torn
    assert len(write(form, out, range(7), form != "pts", resume=True)) == 7
    assert partial.exists() == (form == "pts")
    assert len(write(form, out, range(9), True, resume=True)) == 7
    assert not partial.exists()
    assert contents(out) == contents(whole)


def test_what_was_there_is_replaced_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text('{"image": "old.png"}\n')
    with pytest.raises(ConfigError):
        write("jsonl", out, range(2), True)
    write("jsonl", out, range(2), False, overwrite=True)
    assert out.read_text() == '{"image": "old.png"}\n'
    with pytest.raises(ConfigError) as caught:  # which of both?
        write("jsonl", out, range(2), True, resume=True)
    assert caught.value.field == "out"
    assert write("jsonl", out, range(3), True, resume=True, overwrite=True) == {"in/0.png", "in/1.png"}
    assert len(out.read_text().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_a_copy_of_results_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    write("csv", out, range(5), True)
    (tmp_path / "x.csv.partial").write_bytes(out.read_bytes()[:700])
    assert len(write("csv", out, range(5), True, resume=True)) == 5
    assert len(out.read_text().splitlines()) == 1 + 1 + 2 + 3 + 1 + 1


@pytest.mark.parametrize(
    ("form", "content"), [("jsonl", b"file,face\n"), ("jsonl", b"\xff\n"), ("csv", b"a\nb\n"), ("coco", b"[]")]
)
def test_files_that_are_not_ours_are_left_alone(tmp_path: Path, form: Format, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        PartialResults(form, tmp_path / "x", resume=True)
    assert caught.value.field == "out"
    assert contents(tmp_path) == {"x": content}


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = PartialResults("jsonl", tmp_path / "x.jsonl")
    results.write("whole\n")
    results._file.close()
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr(results, "_file", full)
        with pytest.raises(StorageError) as caught:
            results.write("more\n")
    assert caught.value.field == "out"
    assert results.path.read_text() == "whole\n"
