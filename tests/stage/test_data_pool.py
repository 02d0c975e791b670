"""Worker processes: results in order, whatever the number of processes; a killed parent leaves none behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from jobs.data.pool import Workers


class Square:
    """Made once per process."""

    def __call__(self) -> Callable[[int], tuple[int, int]]:
        return lambda number: (number * number, os.getpid())


class Dies:
    def __call__(self) -> Callable[[int], int]:
        return lambda number: os._exit(9) if number == 3 else number


class Slow:
    def __call__(self) -> Callable[[int], int]:
        return lambda number: time.sleep(100) or number  # type: ignore[func-returns-value]


def test_results_keep_the_order_of_the_pieces() -> None:
    for processes in (1, 2):
        with Workers(Square(), processes) as workers:
            found = list(workers.map(range(50)))
        assert [result for result, _ in found] == [number * number for number in range(50)]
        assert (os.getpid() in {pid for _, pid in found}) == (processes == 1)


def test_pieces_are_taken_as_fast_as_they_are_worked_on() -> None:
    taken = []

    def pieces() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with Workers(Square(), 2) as workers:
        results = workers.map(pieces())
        next(results)
        assert len(taken) < 10


def test_a_worker_that_ends_is_an_error() -> None:
    with Workers(Dies(), 2) as workers, pytest.raises(MemoryError, match="ended before its work was done"):
        list(workers.map(range(10)))


def test_no_worker_outlives_a_killed_parent() -> None:
    code = (
        "from tests.stage.test_data_pool import Slow\nfrom jobs.data.pool import Workers\n"
        "if __name__ == '__main__':\n    with Workers(Slow(), 2) as workers:\n        list(workers.map(range(5)))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        workers = wait_for_workers(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        _, alive = psutil.wait_procs(workers, timeout=15)
        assert not alive
    finally:
        parent.kill()


def wait_for_workers(pid: int) -> list[psutil.Process]:
    for _ in range(200):
        found = [one for one in psutil.Process(pid).children(recursive=True) if "spawn_main" in " ".join(one.cmdline())]
        if len(found) == 2:
            time.sleep(1.5)
            return found
        time.sleep(0.05)
    raise AssertionError("the workers did not start")
