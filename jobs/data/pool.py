"""The same function over many pieces of work, in order, in as many processes as the plan gives."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

W = TypeVar("W")
R = TypeVar("R")
_AHEAD = 2
"""Pieces per process that wait for their turn: enough to keep all busy, few enough to bound memory."""

_function: Callable[[Any], Any] | None = None


class Workers(Generic[W, R]):
    """Calls a function, made once in each process, on pieces of work; results come in the order of the pieces.

    With `processes` = 1 everything happens here. Results never depend on the number of processes.
    """

    def __init__(self, make: Callable[[], Callable[[W], R]], processes: int) -> None:
        """`make`: called once in every process; both it and the pieces are sent there."""
        self._processes = processes
        self._here = make() if processes == 1 else None
        # `spawn`: a fork of a process that has used the tokenizer's threads can hang.
        self._pool = (
            None
            if processes == 1
            else ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start, (make,))
        )

    def map(self, pieces: Iterable[W]) -> Iterator[R]:
        """Results in the order of `pieces`, which are taken only as fast as they are worked on."""
        if self._here is not None:
            yield from map(self._here, pieces)
            return
        assert self._pool is not None
        waiting: deque[Future[R]] = deque()
        try:
            for piece in pieces:
                waiting.append(self._pool.submit(_call, piece))
                if len(waiting) > _AHEAD * self._processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            message = "a worker process ended before its work was done, most likely for lack of memory"
            raise MemoryError(message) from error
        finally:
            for future in waiting:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _start(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    for number in (signal.SIGTERM, signal.SIGINT):  # sent to the whole group; the process that started this one decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    _function = make()


def _end_with_parent(parent: int) -> None:
    """A killed parent closes nothing that a worker would notice."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _call(piece: Any) -> Any:
    assert _function is not None
    return _function(piece)
