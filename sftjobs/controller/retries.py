"""After an attempt has ended: try again, when, or give up? Pure; the table is in docs/failures.md."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sftjobs.attempts import FailureClass, Result
from sftjobs.spec.run import RetrySpec

NEVER_AGAIN: tuple[FailureClass, ...] = ("config", "checkpoint", "image", "budget")
"""Another attempt would end the same way."""
FREE: tuple[FailureClass, ...] = ("stopped", "busy", "cancelled", "committed")
"""Not the fault of the stage: no charge."""
BUDGET: dict[FailureClass, str] = {
    "infrastructure": "infrastructure",
    "hang": "hang",
    "out_of_memory": "out_of_memory",
    "user": "user_error",
}
"""Charged classes -> field of RetrySpec."""
MAX_BACKOFF_S = 300.0
NO_COMMIT = "no_commit"
"""Key in `Result.facts` of an attempt that called itself committed although there is no COMMIT."""
NO_COMMIT_RETRIES = 1


@dataclass(frozen=True)
class GiveUp:
    """The stage has failed for good."""

    failure: FailureClass
    message: str


@dataclass(frozen=True)
class TryAgain:
    """Another attempt may start."""

    not_before: float
    """Unix time."""
    because: str = ""
    """What happened to the last attempt; empty if there was none."""


def judge(results: Sequence[Result], retries: RetrySpec) -> GiveUp | TryAgain:
    """`results` are those of this session, oldest first."""
    if not results:
        return TryAgain(not_before=0.0)
    last = results[-1]
    failure = last.termination.failure
    if failure in NEVER_AGAIN:
        return GiveUp(failure, last.termination.message)
    if failure in BUDGET:
        message = _over_budget(results, retries) or _no_commit(results) or _no_progress(results)
        if message:
            return GiveUp(failure, message)
    delay = _delay(results, retries)
    return TryAgain(not_before=last.finished + delay, because=describe(last))


def describe(result: Result) -> str:
    """One line about an attempt that ended."""
    what = result.termination
    rank = f" on rank {what.rank}" if what.rank is not None else ""
    step = f" at step {what.step}" if what.step is not None else ""
    name = what.failure.replace("_", " ")
    return f"attempt {result.attempt} ended: {name}{rank}{step}: {what.message}".rstrip(": ")


def _over_budget(results: Sequence[Result], retries: RetrySpec) -> str:
    last = results[-1]
    failure = last.termination.failure
    count = Counter(result.termination.failure for result in results)[failure]
    field = BUDGET[failure]
    budget = getattr(retries, field)
    if count <= budget:
        return ""
    if budget == 0:
        return describe(last)
    return f"{describe(last)} (failure {count} of this kind, retries.{field} is {budget})"


def _no_commit(results: Sequence[Result]) -> str:
    count = sum(bool(result.facts.get(NO_COMMIT)) for result in results)
    if not results[-1].facts.get(NO_COMMIT) or count <= NO_COMMIT_RETRIES:
        return ""
    return f"{describe(results[-1])} ({count} times: is the store the same for controller and stages?)"


def _no_progress(results: Sequence[Result]) -> str:
    """Two charged failures in a row at the same step, from the same checkpoint: a third one would end there too."""
    charged = [result.termination for result in results if result.termination.failure in BUDGET]
    if len(charged) < 2:
        return ""
    before, last = charged[-2:]
    if last.checkpoint is None or last.step is None:
        return ""
    if (before.checkpoint, before.step) != (last.checkpoint, last.step):
        return ""
    return (
        f"{describe(results[-1])}; the attempt before ended there too, both from the checkpoint of step "
        f"{last.checkpoint}: no progress"
    )


def _delay(results: Sequence[Result], retries: RetrySpec) -> float:
    """backoff_s, doubled for each further ending of the same sort in a row; the first free ending waits for nothing."""
    free = results[-1].termination.failure in FREE
    row = 0
    for result in reversed(results):
        if (result.termination.failure in FREE) != free:
            break
        row += 1
    doublings = row - 2 if free else row - 1
    if doublings < 0:
        return 0.0
    return float(min(MAX_BACKOFF_S, retries.backoff_s * 2 ** min(doublings, 30)))
