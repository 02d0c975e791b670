"""Run facts: what may differ between two equal runs of a stage. Listed in the manifest, in no digest."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sftjobs import __version__
from sftjobs.agent.environment import AgentEnvironment


class Moments:
    """When it happened, in seconds since this process began; None before that. Heartbeats carry it to the report."""

    def __init__(self) -> None:
        self._began = time.monotonic() - _age_s()
        self.program_s: float | None = None
        self.saved_s: float | None = None

    def program_begins(self) -> None:
        self.program_s = self._now()

    def checkpoint_committed(self) -> None:
        self.saved_s = self._now()

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 3)


def _age_s() -> float:
    """Seconds that this process exists: importing its modules is time of the attempt, too. 0 where nobody knows."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # in clock ticks since boot
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, AttributeError):
        return 0.0


class Facts:
    """Collected while an attempt goes on."""

    def __init__(self, environment: AgentEnvironment) -> None:
        self._seconds: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        """Phases that go on, with their start on the monotonic clock."""
        self._started = time.time()
        self._environment = environment
        self.resumed_from: int | None = None
        """Step of the checkpoint that the program went on from."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the wall seconds of a phase."""
        self._begun[name] = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = time.monotonic() - self._begun.pop(name)

    def collect(self) -> dict[str, Any]:
        """Everything that is known now."""
        now = time.monotonic()
        seconds = {**self._seconds, **{name: now - begun for name, begun in self._begun.items()}}
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "run_id": self._environment.run_id,
            "stage": self._environment.stage,
            "attempt": self._environment.attempt,
            "host": platform.node(),
            "agent": __version__,
            "started": round(self._started, 3),
            "finished": round(time.time(), 3),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "resumed_from": self.resumed_from,
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_rank_mib": round(usage.ru_maxrss / 1024, 1),
        }
