"""A run that is killed with SIGKILL at any moment and started again ends as if nothing had happened, to the bit."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.commands import Environment
from helpers.runs import assert_equal_to_the_bit, finish, is_saving, kill, start, steps, wait


@pytest.fixture(scope="module")
def whole(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """An uninterrupted run, and how many seconds it went on after its first step."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    process = start(environment, workdir)
    assert wait(process, lambda: steps(workdir) > 0)
    first = time.monotonic()
    finish(process)
    return workdir, time.monotonic() - first


def beyond(workdir: Path, before: int, saving: bool) -> Callable[[], bool]:
    """Whether it has made a step since `before`, and is saving."""
    return lambda: steps(workdir) > before and (is_saving(workdir) or not saving)


@pytest.mark.torture
def test_twenty_kills_at_random(
    environment: Environment, whole: tuple[Path, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third of them as soon as something is being saved; the others at any moment from the start to the end."""
    rng, kills, runs, log = random.Random(os.environ.get("SEED", "0")), 0, 0, []
    while kills < 20:
        workdir, runs = tmp_path / f"run{runs}", runs + 1
        for _ in range(5):  # so often at most, or it might never end
            process, saving = start(environment, workdir), rng.random() < 1 / 3
            after = rng.uniform(0, 10 if rng.random() < 0.2 else whole[1])
            hit = wait(process, beyond(workdir, steps(workdir), saving))
            due = time.monotonic() + (rng.uniform(0, 0.3) if saving else after)
            if not hit or not wait(process, lambda due=due: time.monotonic() >= due):
                break
            log.append(f"{'saving' if is_saving(workdir) else 'not saving'}, {steps(workdir)} steps written")
            kill(process)
            kills += 1
        else:
            process = start(environment, workdir)
        finish(process)
        assert_equal_to_the_bit(whole[0], workdir)
    with capsys.disabled():
        print(f"\n{kills} kills in {runs} runs, all equal to the bit:", *log, sep="\n  ")


@pytest.mark.torture
@pytest.mark.parametrize("count", [1, 2, 40])
def test_sigterm_during_the_report(
    environment: Environment, whole: tuple[Path, float], tmp_path: Path, count: int
) -> None:
    """Schedulers send it several times: one line, and the same command writes the report."""
    process = start(environment, tmp_path)
    assert wait(process, lambda: (tmp_path / "curves.png").exists())  # the first file of the report
    for _ in range(count):
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 75, said
    assert said.count("interrupted by SIGTERM; give the same command again") == 1
    assert "Traceback" not in said
    assert "race" not in said
    finish(start(environment, tmp_path))
    assert_equal_to_the_bit(whole[0], tmp_path)
