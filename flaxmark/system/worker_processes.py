"""A function mapped over many items in processes that load neither TensorFlow nor JAX nor the user's script."""

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

from flaxmark.errors import DeviceError
from flaxmark.system.cores import usable_cores

FEW = 256  # for fewer items starting processes takes longer than the work
CHUNK = 8  # items per message: fewer cost time, more cost memory
AHEAD = 3  # chunks per process that are computed before the caller takes them

Item = TypeVar("Item")
Made = TypeVar("Made")


@contextmanager
def worker_processes(make: Callable[[Item], Made], total: int) -> Iterator[Callable[[Sequence[Item]], Iterator[Made]]]:
    """Start a process for each core, or none where that does not pay for `total` items.

    Yields a function that maps `make` over items, in their order. Only some results are computed ahead, so that memory
    is bounded; several calls share the processes. `make` is a function of a module, or a `partial` of one. Raises
    DeviceError where a process dies.
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
    """Results in the order of the items, some chunks ahead."""
    pending: deque[Future[list[Made]]] = deque()
    for start in range(0, len(items), CHUNK):
        pending.append(threads.submit(make_chunk, items[start : start + CHUNK]))
        if len(pending) > ahead:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


class _Worker:
    """A worker process.

    Those of multiprocessing would run the user's script again, receive Ctrl-C, and outlive a killed parent.
    """

    def __init__(self) -> None:
        """Start it in a session of its own, which Ctrl-C does not reach; it ends when its input ends."""
        code = f"import sys; sys.path[:] = {sys.path!r}; from flaxmark.system.worker_processes import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def ask(self, make: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
        """Results of some items."""
        try:
            _send(self._pipe(self._process.stdin), (make, items))
            made, error = pickle.load(self._pipe(self._process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError) as dead:
            status = self._process.wait()
            how = f"was killed (signal {-status})" if status < 0 else f"has ended with status {status}"
            raise DeviceError(
                f"a process that prepares faces {how}; if memory is short, close other programs or lower "
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
        """Kill it."""
        self._process.kill()

    def close(self) -> None:
        """Release its pipes, after its end."""
        self._process.wait()
        self._pipe(self._process.stdout).close()
        with suppress(BrokenPipeError):  # data was left in its buffer
            self._pipe(self._process.stdin).close()


def _send(pipe: IO[bytes], message: Any) -> None:
    pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def serve() -> None:
    """Main loop of a worker: answer the requests on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not mix with the answers
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
