"""Work in processes: in order, a bounded number ahead, and an end to everything that may end."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from helpers.commands import TESTS
from helpers.work import die, loaded, negative, note, refuse

from flaxmark.errors import DeviceError, FlaxmarkError
from flaxmark.system.worker_processes import AHEAD, CHUNK, worker_processes


@pytest.fixture(autouse=True)
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flaxmark.system.worker_processes.FEW", 1)
    monkeypatch.setattr("flaxmark.system.worker_processes.usable_cores", lambda: 2)


def test_everything_comes_in_order_and_calls_share_the_processes(tmp_path: Path) -> None:
    with worker_processes(negative, 100) as make_all:
        one, other = make_all(range(100)), make_all(range(7))
        assert next(one) == 0
        assert list(other) == [-n for n in range(7)]
        assert list(one) == [-n for n in range(1, 100)]
        assert list(make_all([])) == []


def test_only_some_are_made_ahead(tmp_path: Path) -> None:
    with worker_processes(partial(note, folder=tmp_path), 1000) as make_all:
        made = make_all(range(1000))
        assert next(made) != os.getpid()
        time.sleep(0.5)
        assert len(list(tmp_path.iterdir())) <= (2 * AHEAD + 1) * CHUNK
    time.sleep(0.5)  # the processes have ended
    assert len(list(tmp_path.iterdir())) <= (2 * AHEAD + 1) * CHUNK


def test_few_are_made_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("flaxmark.system.worker_processes.FEW", 256)
    with worker_processes(partial(note, folder=tmp_path), 255) as make_all:
        assert next(make_all([1])) == os.getpid()


def test_processes_load_little_and_may_print() -> None:
    with worker_processes(loaded, 9) as make_all:
        assert list(make_all(range(9))) == [[]] * 9


def test_a_process_that_is_killed_is_one_line() -> None:
    with (
        pytest.raises(DeviceError, match="signal 9") as caught,
        worker_processes(die, 100) as make_all,
    ):
        list(make_all(range(100)))
    assert "\n" not in str(caught.value)


def test_errors_of_the_work_are_raised_here() -> None:
    with pytest.raises(FlaxmarkError, match="not 0"), worker_processes(refuse, 100) as make_all:
        list(make_all(range(100)))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_a_killed_parent_end_everything(ending: signal.Signals) -> None:
    """In a script without a guard, which the processes must not run again."""
    code = (
        "from flaxmark.system import worker_processes; from helpers.work import sleep; worker_processes.FEW = 1\n"
        "with worker_processes.worker_processes(sleep, 1000) as make_all:\n"
        "    for _ in make_all(range(1000)):\n"
        "        print('made', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    if ending == signal.SIGINT:
        os.killpg(process.pid, ending)  # what a terminal does
    else:
        process.kill()
    since = time.monotonic()
    _, said = process.communicate(timeout=60)  # returns when the last process has closed its standard error
    assert time.monotonic() - since < 5
    assert said.count("Traceback") == (1 if ending == signal.SIGINT else 0), said
    assert "serve" not in said
