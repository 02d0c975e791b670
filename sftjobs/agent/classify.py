"""From how the ranks ended to the termination message and exit code of the agent (docs/failures.md)."""

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sftjobs.agent.group.base import Doubt, GroupEnded
from sftjobs.agent.last_words import LastWords
from sftjobs.agent.stop import StopRequested
from sftjobs.attempts import EXIT_CLASS, Termination
from sftjobs.errors import SftError
from sftjobs.names import Exit

OUT_OF_MEMORY_CODE = 128 + signal.SIGKILL
PASSED_ON = (Exit.BAD_CONFIG, Exit.BAD_CHECKPOINT, Exit.INFRASTRUCTURE)
"""Codes with which a program says what went wrong; they mean the same from the agent."""
Cause = Literal["ended", "hang", "lost"]


@dataclass(frozen=True)
class RankEnd:
    """How one rank ended."""

    rank: int
    code: int
    """As `subprocess` gives it: negative for a signal."""
    seen: float
    """Monotonic time at which the agent saw it."""
    error: str = ""
    """Message of its error file."""
    words: LastWords = field(default_factory=LastWords)

    @property
    def status(self) -> int:
        """As a shell gives it: 128 + n for signal n."""
        return 128 - self.code if self.code < 0 else self.code

    @property
    def doubt(self) -> Doubt:
        """Of a rank that failed."""
        aborted = self.status == 128 + signal.SIGABRT
        if self.code == Exit.INFRASTRUCTURE or (aborted and self.words.of_communication):
            return Doubt.COMPLAINT
        return Doubt.ABORTED if aborted else Doubt.NONE


def read_error(path: Path) -> str:
    """The message in an error file of torch elastic; '' if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))["message"]
        return str(value["message"] if isinstance(value, dict) else value)
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def first_failure(ends: list[RankEnd], stopping: bool) -> RankEnd | None:
    """The rank that is to blame: the first that failed, but not with the complaint that a peer is gone.

    A rank that was aborted comes between: it has not said why.
    """
    fine = {0, int(Exit.STOPPED), -signal.SIGTERM} if stopping else {0}
    failed = [end for end in ends if end.code not in fine]
    return min(failed, key=lambda end: (end.doubt, end.seen, end.rank), default=None)


def doubt(ends: list[RankEnd], stopping: bool) -> Doubt:
    """Whether ranks elsewhere may be to blame for the first failure here."""
    worst = first_failure(ends, stopping)
    return Doubt.NONE if worst is None else worst.doubt


def classify(ends: list[RankEnd], *, stopping: bool, oom: bool) -> Termination | None:
    """What the end of all ranks means; None if every rank ended well and there is an artifact to commit.

    `stopping`: the agent had asked them to stop. `oom`: the kernel killed for memory since they were started.
    """
    worst = first_failure(ends, stopping)
    if worst is not None:
        return _failure(worst, oom)
    if any(end.code != 0 for end in ends):
        return Termination(failure="stopped", code=Exit.STOPPED, message="stopped on request")
    return None


def _failure(end: RankEnd, oom: bool) -> Termination:
    who = f"rank {end.rank}"
    if end.status == OUT_OF_MEMORY_CODE:
        if oom:
            message = f"{who} was killed by the kernel: out of memory; lower micro_batch_size or raise memory_gib"
            return Termination(failure="out_of_memory", code=OUT_OF_MEMORY_CODE, rank=end.rank, message=message)
        return _infrastructure(end, f"{who} was killed from outside (KILL), not for memory")
    if end.code in PASSED_ON:
        message = end.error or f"{who} ended with exit code {end.code}; its last lines of log say why"
        return Termination(failure=EXIT_CLASS[end.code], code=end.code, rank=end.rank, message=message)
    if end.status in (Exit.STOPPED, 128 + signal.SIGTERM):
        return _infrastructure(end, f"{who} was told to stop by somebody else than its agent")
    if end.doubt is Doubt.COMPLAINT:
        return _infrastructure(end, f"communication between ranks failed, which ended {who}: {end.words.text}")
    return Termination(failure="user", code=Exit.USER_ERROR, rank=end.rank, message=_user_message(end, who))


def _infrastructure(end: RankEnd, message: str) -> Termination:
    return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, rank=end.rank, message=message)


def _user_message(end: RankEnd, who: str) -> str:
    if end.status == 128 + signal.SIGBUS:
        return f"{who} died of SIGBUS: usually /dev/shm is too small; fewer data loader workers need less of it"
    if end.status == 128 + signal.SIGSEGV:
        return f"{who} crashed in native code (SIGSEGV); its stack is at the end of the log"
    if end.code < 0:
        why = f": {end.words.text}" if end.words.text else "; its last lines of log say why"
        return f"{who} ended by signal {_signal_name(-end.code)}{why}"
    return end.error or f"{who} ended with exit code {end.code}; its last lines of log say why"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def of_error(error: Exception) -> Termination:
    """What an exception of the agent itself means."""
    if isinstance(error, GroupEnded):
        return error.termination
    if isinstance(error, StopRequested):
        return Termination(failure="stopped", code=Exit.STOPPED, message="stopped on request, with nothing to save")
    if isinstance(error, SftError):
        return Termination(failure=EXIT_CLASS[error.exit_code], code=error.exit_code, message=str(error))
    if isinstance(error, OSError):  # a full disk, most of all; another machine may have room
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=f"this machine: {error}")
    message = f"the agent failed: {type(error).__name__}: {error}"
    return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=message)
