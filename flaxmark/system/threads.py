"""Work in threads, in order: for code that releases Python's lock."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(tasks: Iterable[Callable[[], Made]], workers: int, count: int = 2) -> Generator[Made]:
    """Run tasks in threads, up to `count` of them ahead of the consumer; results come in the order of the tasks.

    Tasks are drawn from the iterable no earlier than they are run. If drawing one fails, the results of those before
    it come first.
    """
    waiting: deque[Future[Made]] = deque()
    failures: list[Exception] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for task in _up_to_failure(tasks, failures):
                waiting.append(pool.submit(task))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    for failure in failures:
        raise failure


def _up_to_failure(items: Iterable[Item], failures: list[Exception]) -> Iterator[Item]:
    """The items, up to an exception, which is kept."""
    try:
        yield from items
    except Exception as error:
        failures.append(error)
