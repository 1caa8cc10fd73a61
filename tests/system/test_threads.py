import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flaxmark.system.threads import ahead


def test_two_tasks_are_done_ahead_and_in_order() -> None:
    begun: list[int] = []

    def task(number: int) -> int:
        begun.append(number)
        time.sleep(0.05 * (number % 2))
        return number

    def tasks() -> Iterator[Any]:
        return (functools.partial(task, number) for number in range(20))

    results = ahead(tasks(), 2)
    assert next(results) == 0
    time.sleep(0.2)
    assert sorted(begun) == [0, 1, 2]  # two ahead of what was taken, and no more
    assert list(results) == list(range(1, 20))
    abandoned = ahead(tasks(), 2)
    next(abandoned)
    abandoned.close()  # waits for what has begun, and begins nothing else
    assert len(begun) <= 20 + 4


def test_an_error_in_a_task_reaches_who_takes_its_result() -> None:
    def fail() -> None:
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        list(ahead([fail], 1))


def test_what_was_drawn_before_a_failure_comes_first() -> None:
    def tasks() -> Iterator[Callable[[], int]]:
        yield lambda: 1
        yield lambda: 2
        raise OSError("gone")

    results = ahead(tasks(), 2, 4)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(results)
