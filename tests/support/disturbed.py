"""What must hold around a fault in the middle of training: the attempt ends as it should, and the next one goes on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sftjobs.attempts import FailureClass
from tests.support.cluster_run import ClusterRun

FRESH_STEPS = 10
"""Training has gone on for so many steps, and saved them, before the next fault: no attempt is without progress."""


def newest_save(run: ClusterRun, stage: str = "train") -> int:
    """Step of the newest committed checkpoint; 0 before the first one."""
    if not run.is_recorded() or not run.whole.attempts(stage, run.name):
        return 0
    return max(run.whole.saved_steps(stage, run.name), default=0)


def in_the_middle(run: ClusterRun, since: int | None = None) -> int:
    """Wait until training has saved something new; returns the step of that checkpoint."""
    start = newest_save(run) if since is None else since
    run.until(lambda: newest_save(run) >= start + FRESH_STEPS, f"a checkpoint after step {start + FRESH_STEPS}")
    return newest_save(run)


def goes_on(run: ClusterRun) -> None:
    """Wait until training has saved something new or has ended well: what is left of it may be less than a save."""
    start = newest_save(run)
    run.until(
        lambda: newest_save(run) >= start + FRESH_STEPS or run.stage_state("train") == "succeeded",
        f"a checkpoint after step {start + FRESH_STEPS}, or the end of training",
    )


@dataclass
class Disturbance:
    """Filled when the block has ended and training goes on."""

    attempt: int
    saved: int
    """Newest committed checkpoint when the fault came."""
    seconds: float = 0.0
    """From the fault to the first new checkpoint."""
    failure: FailureClass | None = None
    began: float = field(default_factory=time.monotonic)


@contextmanager
def attempt_lost(run: ClusterRun, *expected: FailureClass) -> Iterator[Disturbance]:
    """The fault in the block ends the attempt at work in one of these classes; another goes on from what was saved."""
    saved = in_the_middle(run)
    number = len(run.whole.attempts("train", run.name)) - 1
    assert run.whole.attempts("train", run.name)[number].result is None, "no attempt is at work"
    found = Disturbance(number, saved)
    yield found
    run.until(lambda: run.whole.attempts("train", run.name)[number].result, f"attempt {number} has ended")
    result = run.whole.attempts("train", run.name)[number].result
    assert result is not None
    found.failure = result.termination.failure
    assert found.failure in expected, result.model_dump_json(indent=1)
    run.until(lambda: len(run.whole.attempts("train", run.name)) > number + 1, "another attempt")
    in_the_middle(run)
    found.seconds = time.monotonic() - found.began
    print(f"attempt {number}: {found.failure}, saved step {saved}, goes on after {found.seconds:.1f} s")


@contextmanager
def attempt_kept(run: ClusterRun) -> Iterator[int]:
    """The fault in the block costs no attempt: the pod that trains goes on."""
    saved = in_the_middle(run)
    number = len(run.whole.attempts("train", run.name)) - 1
    yield saved
    goes_on(run)
    attempts = run.whole.attempts("train", run.name)
    assert len(attempts) == number + 1, [attempt.result for attempt in attempts]
