"""A function over many items, in order, in worker processes that load neither TensorFlow nor JAX."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from flaxmark.config import ConfigError

FEW = 256  # starting processes takes longer than making these
CHUNK = 8  # items a message: fewer cost time, more cost memory

Item = TypeVar("Item")
Made = TypeVar("Made")


@contextmanager
def worker_processes(make: Callable[[Item], Made], total: int) -> Iterator[Callable[[Sequence[Item]], Iterator[Made]]]:
    """Start a process for each core, or none where that does not pay.

    Args:
        make: From an item to what is made of it; a function of a module, or a `partial` of one.
        total: How many items there will be.

    Yields:
        From items to what is made of them, in their order. Only some are made ahead of who takes them, so that memory
        is bounded. Several calls share the processes.

    Raises:
        ConfigError: A process has died.
    """
    workers = os.cpu_count() or 1
    if workers == 1 or total < FEW:
        yield partial(map, make)
        return
    # Forking would copy the locks of threads that JAX and TensorFlow have started.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent)
    try:
        yield partial(_make_in_order, pool, make, 3 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _make_in_order(
    pool: ProcessPoolExecutor, make: Callable[[Item], Made], ahead: int, items: Sequence[Item]
) -> Iterator[Made]:
    """What is made of the items, some chunks ahead."""
    pending: deque[Future[list[Made]]] = deque()
    try:
        for start in range(0, len(items), CHUNK):
            with _deaf_to_interrupts():
                pending.append(pool.submit(_make_all, make, items[start : start + CHUNK]))
            if len(pending) > ahead:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise ConfigError(
            "a worker process has died: give the machine more memory or --data.max-megapixels a lower limit; in a "
            'script of your own, call flaxmark below `if __name__ == "__main__":`'
        ) from error


def _make_all(make: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """In a worker: one chunk."""
    return [make(item) for item in items]


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start meanwhile never hear Ctrl-C, which a terminal sends to all: this one ends them, silently."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """In a worker: end where the parent is killed, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
