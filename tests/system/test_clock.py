import time
from types import SimpleNamespace
from typing import Any

import pytest

from flaxmark.config.config import Config, TrainConfig
from flaxmark.system import clock
from flaxmark.system.clock import Clock, seconds_since_process_start
from flaxmark.training.run_setup import Run


def test_phases_add_up_and_inner_ones_are_taken_from_outer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    watch = Clock(2.5)
    now[0] += 1
    with watch.phase("steps"):
        now[0] += 10
        for _ in range(2):
            with watch.phase("validation"):
                now[0] += 3
                with watch.phase("saving"):
                    now[0] += 0.5
        now[0] += 4
    assert watch.seconds() == {"start": 2.5, "steps": 14, "validation": 6, "saving": 1, "other": 1}
    assert str(watch).startswith("24s in all; seconds: start 2.5, steps 14.0")


def test_a_phase_that_fails_ends() -> None:
    watch = Clock()
    with pytest.raises(ValueError, match="x"), watch.phase("load"):
        raise ValueError("x")
    time.sleep(0.02)
    assert watch.seconds()["other"] >= 0.02
    assert watch.seconds()["load"] < 0.02


def test_this_process_was_started_a_while_ago() -> None:
    first = seconds_since_process_start()
    assert 0 <= first < 24 * 3600
    time.sleep(0.05)
    assert 0 <= seconds_since_process_start() - first < 5


def validated(faces: int, **train: Any) -> list[int]:
    """Epochs after which a run with batches of 32 is validated."""
    config = Config(train=TrainConfig(batch_size=32, **train))
    run: Any = SimpleNamespace(config=config, steps_per_epoch=faces // 32)
    run.total_steps = run.steps_per_epoch * config.train.epochs
    steps = range(1, run.total_steps + 1)
    return [step // run.steps_per_epoch for step in steps if Run.validates_after(run, step)]


def test_validations_are_at_least_200_steps_apart() -> None:
    assert validated(1836, epochs=10) == [4, 8, 10]  # 57 steps an epoch
    assert validated(6400, epochs=3) == [1, 2, 3]  # 200 steps
    assert validated(6399, epochs=3) == [2, 3]  # 199 steps
    assert validated(64, epochs=2) == [2]
    assert validated(64, epochs=5, validate_every=2) == [2, 4, 5]
