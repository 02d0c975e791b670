"""What an agent needs of its group while it works, and the group of one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from sftjobs.agent.whereabouts import Place
from sftjobs.attempts import Termination
from sftjobs.names import Exit


class Doubt(IntEnum):
    """How much a failure looks like the consequence of another one, which is the cause then."""

    NONE = 0
    """It has a reason of its own."""
    ABORTED = 1
    """The process was ended by a library: some do that when a peer is gone, and all when they have a bug."""
    COMPLAINT = 2
    """It says itself that another rank is gone."""


Check = Callable[[], None]
"""Called while something is waited for; ends the waiting by raising."""


class GroupEnded(Exception):  # noqa: N818 - not an error of its own
    """The attempt has ended on another node, or another node is gone."""

    def __init__(self, termination: Termination) -> None:
        self.termination = termination
        super().__init__(termination.message)


@dataclass(frozen=True)
class News:
    """What has come from the other nodes since the last look."""

    dump: bool = False
    """The stacks of the ranks are wanted."""
    end: Termination | None = None
    """How the attempt ended elsewhere; the ranks here are of no use any more."""


class Group(ABC):
    """The other agents, as the supervisor of the ranks sees them. Safe to use from several threads."""

    watches_progress: bool = True
    """Only rank 0 reports progress, so only its agent can tell that there is none."""

    @abstractmethod
    def news(self) -> News: ...

    @abstractmethod
    def ask_to_stop(self) -> None:
        """This agent was asked to stop: tell the others."""

    @abstractmethod
    def ask_for_stacks(self) -> None:
        """There is no progress: the others write the stacks of their ranks, too."""

    @abstractmethod
    def share(self, places: list[Place]) -> list[Place]:
        """Where the ranks here are: tell whoever watches progress. What is known of all ranks, as far as it is told."""

    @abstractmethod
    def settle(self, own: Termination, doubt: Doubt) -> Termination:
        """The ranks here have ended badly: what the first failure of the whole group was.

        `doubt`: of the first rank to fail here.
        """


def lost(node: int, reason: str) -> Termination:
    """The end of an attempt that has lost a node."""
    return infrastructure(f"node {node} is gone: {reason}; its own log, if there is one, says why")


def stopped(message: str = "stopped on request") -> Termination:
    """Free of charge."""
    return Termination(failure="stopped", code=Exit.STOPPED, message=message)


def hang(hang_after_s: int, more: str, rank: int | None = None) -> Termination:
    """`more`: who did not go on, behind a colon or semicolon."""
    limit = f"no progress for longer than allowed (hang_after_s = {hang_after_s})"
    return Termination(failure="hang", code=Exit.HANG, rank=rank, message=limit + more)


def infrastructure(message: str) -> Termination:
    """Another attempt may succeed."""
    return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=message)
