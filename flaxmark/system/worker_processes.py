"""A function over many items, in order, in processes that load neither TensorFlow nor JAX nor the user's script."""

import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any, TypeVar

from flaxmark.errors import ConfigError
from flaxmark.system.cores import usable_cores

FEW = 256  # starting processes takes longer than making these
CHUNK = 8  # items a message: fewer cost time, more cost memory
AHEAD = 3  # chunks for each process, made or being made before anybody takes them

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
    count = usable_cores()
    if count == 1 or total < FEW:
        yield partial(map, make)
        return
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    workers = [_Worker() for _ in range(count)]
    for worker in workers:
        idle.put(worker)

    def make_chunk(items: Sequence[Item]) -> list[Made]:
        worker = idle.get()
        try:
            return worker.ask(make, items)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(count)  # each waits for one process
    try:
        yield partial(_in_order, threads, make_chunk, AHEAD * count)
    finally:
        for worker in workers:
            worker.kill()
        threads.shutdown(cancel_futures=True)
        for worker in workers:
            worker.close()


def _in_order(
    threads: ThreadPoolExecutor, make_chunk: Callable[[Sequence[Item]], list[Made]], ahead: int, items: Sequence[Item]
) -> Iterator[Made]:
    """What is made of the items, some chunks ahead."""
    pending: deque[Future[list[Made]]] = deque()
    for start in range(0, len(items), CHUNK):
        pending.append(threads.submit(make_chunk, items[start : start + CHUNK]))
        if len(pending) > ahead:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


class _Worker:
    """A process that makes what it is asked for.

    Those of multiprocessing would run the user's script again, hear Ctrl-C, and outlive a parent that is killed.
    """

    def __init__(self) -> None:
        """Start it: in a session of its own, where Ctrl-C does not reach; it ends with its input."""
        code = f"import sys; sys.path[:] = {sys.path!r}; from flaxmark.system.worker_processes import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def ask(self, make: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
        """What is made of some items."""
        try:
            _send(self._pipe(self._process.stdin), (make, items))
            made, error = pickle.load(self._pipe(self._process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError) as dead:
            status = self._process.wait()
            how = f"was killed (signal {-status})" if status < 0 else f"has ended with status {status}"
            raise ConfigError(
                f"a process that prepares faces {how}; where memory is short, close other programs or lower "
                "--data.max-megapixels, and start again"
            ) from dead
        if error is not None:
            raise error
        return list(made)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None  # both were asked for
        return pipe

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Forget it, after its end."""
        self._process.wait()
        self._pipe(self._process.stdout).close()
        with suppress(BrokenPipeError):  # something was left in its buffer
            self._pipe(self._process.stdin).close()


def _send(pipe: IO[bytes], message: Any) -> None:
    pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def serve() -> None:
    """In a worker: make what is asked for on standard input, until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        while True:
            make, items = pickle.load(sys.stdin.buffer)
            try:
                made, problem = [make(item) for item in items], None
            except Exception as error:
                made, problem = [], error
            _send(answers, (made, problem))
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the parent has gone
