"""From how the ranks ended to the termination message and exit code of the agent (docs/failures.md)."""

import signal
from dataclasses import dataclass, field
from typing import Literal

from sftjobs.agent.group.base import Doubt, GroupEnded, stopped
from sftjobs.agent.last_words import LastWords
from sftjobs.agent.stop import StopRequested
from sftjobs.attempts import EXIT_CLASS, Termination
from sftjobs.error_file import Said
from sftjobs.errors import SftError
from sftjobs.gpu_faults import is_of_the_machine
from sftjobs.names import Exit

OUT_OF_MEMORY_CODE = 128 + signal.SIGKILL
PASSED_ON = (Exit.BAD_CONFIG, Exit.BAD_CHECKPOINT, Exit.INFRASTRUCTURE)
"""Codes with which a program says what went wrong; they mean the same from the agent."""
Cause = Literal["ended", "hang", "lost"]


@dataclass(frozen=True)
class RankEnd:
    """How one rank ended."""

    rank: int
    ended: int
    """Exit code as `subprocess` gives it: negative for a signal."""
    seen: float
    """Monotonic time at which the agent saw it."""
    said: Said = field(default_factory=Said)
    """What its error file says."""
    words: LastWords = field(default_factory=LastWords)

    @property
    def code(self) -> int:
        """What it wanted to end with, if something crashed on its way out."""
        crashed = self.ended < 0 and self.ended not in (-signal.SIGKILL, -signal.SIGTERM)
        return self.said.code if crashed and self.said.code is not None else self.ended

    @property
    def status(self) -> int:
        """As a shell gives it: 128 + n for signal n."""
        return 128 - self.code if self.code < 0 else self.code

    @property
    def doubt(self) -> Doubt:
        """Of a rank that failed. One that ends with 21 and says nothing is taken for a complaint."""
        if self.code == Exit.INFRASTRUCTURE:
            return Doubt.COMPLAINT if self.said.complaint or not self.said.message else Doubt.NONE
        if self.status != 128 + signal.SIGABRT:
            return Doubt.NONE
        return Doubt.COMPLAINT if self.words.of_communication else Doubt.ABORTED


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
        return stopped()
    return None


def _failure(end: RankEnd, oom: bool) -> Termination:
    who = f"rank {end.rank}"
    if end.status == OUT_OF_MEMORY_CODE:
        if oom:
            message = f"{who} was killed by the kernel: out of memory; lower micro_batch_size or raise memory_gib"
            return Termination(failure="out_of_memory", code=OUT_OF_MEMORY_CODE, rank=end.rank, message=message)
        return _infrastructure(end, f"{who} was killed from outside (KILL), not for memory")
    if end.code in PASSED_ON:
        message = end.said.message or f"{who} ended with exit code {end.code}; its last lines of log say why"
        return Termination(failure=EXIT_CLASS[end.code], code=end.code, rank=end.rank, message=message)
    if end.status in (Exit.STOPPED, 128 + signal.SIGTERM):
        return _infrastructure(end, f"{who} was told to stop by somebody else than its agent")
    if is_of_the_machine(end.words.text):
        return _infrastructure(end, f"the GPU of {who} failed: {end.words.text}")
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
    return end.said.message or f"{who} ended with exit code {end.code}; its last lines of log say why"


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
        return stopped("stopped on request, with nothing to save")
    if isinstance(error, SftError):
        return Termination(failure=EXIT_CLASS[error.exit_code], code=error.exit_code, message=str(error))
    if isinstance(error, OSError):  # a full disk, most of all; another machine may have room
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=f"this machine: {error}")
    message = f"the agent failed: {type(error).__name__}: {error}"
    return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=message)
