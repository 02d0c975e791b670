"""Watch the running ranks until they end, hang, are asked to stop, or have lost the LEASE."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from sftjobs.agent.classify import Cause, RankEnd, first_failure
from sftjobs.agent.group.base import Group
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.logs import Log
from sftjobs.agent.progress import Progress
from sftjobs.agent.ranks import Ranks
from sftjobs.agent.silence import Silence
from sftjobs.agent.stop import Stop
from sftjobs.agent.whereabouts import Verdict
from sftjobs.attempts import Termination
from sftjobs.error_file import read
from sftjobs.plan.types import Operation

POLL_S = 0.02
LOADING_S = 120.0
"""Silence before the first progress line is no hang for at least so long: libraries load from a cold disk."""
PEERS_S = 2.0
"""After the first failure the other ranks may say for so long what they think of it."""
DUMP_S = 0.5
"""Time for every rank to write its stacks."""
WAKE_S = 10.0
"""A program that does not answer TERM for so long after a hang is killed."""


@dataclass(frozen=True)
class Outcome:
    """How the program ended."""

    cause: Cause
    ends: list[RankEnd]
    stopping: bool
    """The ranks had been asked to stop."""
    elsewhere: Termination | None = None
    """How the attempt ended on another node, if that is why it ended here."""
    waited_for: Verdict | None = None
    """After a hang: where the ranks were."""


@dataclass
class Supervisor:
    """What is watched."""

    ranks: Ranks
    world: int
    """Ranks on all nodes."""
    operation: Operation
    progress: Progress
    stop: Stop
    lost: Callable[[], bool]
    """Whether the LEASE was lost."""
    heart: Heart
    log: Log
    group: Group

    def __post_init__(self) -> None:
        patience = self.operation.hang_after_s
        self._silence = Silence(self.ranks, self.world, self.progress, self.heart, self.group, patience)

    def watch(self) -> Outcome:
        """Returns when no rank runs any more, whatever the reason."""
        seen: dict[int, float] = {}
        asked = False
        try:
            while True:
                self.progress.read()
                self._silence.look()
                running = self.ranks.running()  # before the look at their ends: a rank may end between the two
                ends = self._ends(seen)
                if not running:
                    return Outcome("ended", ends, asked or self.stop.requested)
                if first_failure(ends, asked) is not None:
                    return self._peers_gone(seen, asked)
                news = self.group.news()
                if news.end is not None:
                    self.log.say(f"the attempt has ended on another node: {news.end.message}")
                    return Outcome("ended", ends, asked, news.end)
                if news.dump:
                    self._dump_stacks()
                if self.lost():
                    self.log.say("the LEASE was lost: somebody else works on this stage; stopping the program")
                    return Outcome("lost", ends, asked)
                if self.stop.requested and not asked:
                    asked = True
                    self._ask_to_stop()
                if asked and self.stop.time_is_up(self.operation.grace_s):
                    self.log.say("no time left to save: ending the program by force")
                    return Outcome("ended", self._forced(ends), asked)
                if self.group.watches_progress and not asked and self.progress.silent_s > self._patience_s():
                    return self._hang(seen)
                time.sleep(POLL_S)
        finally:
            for rank in self.ranks.kill():
                self.log.say(
                    f"rank {rank} cannot be ended: it waits for a device or a file system that does not answer"
                )
            self.progress.read()

    def _ends(self, seen: dict[int, float], said_is_done: bool = False) -> list[RankEnd]:
        """Every rank that has ended by now; with `said_is_done` those as well that have said why they are about to."""
        now = time.monotonic()
        ends = []
        for item, code in zip(self.ranks.ranks, self.ranks.codes(), strict=True):
            if code is None and not said_is_done:
                continue
            said = read(item.error_file)
            ended = said.code if code is None else code
            if ended is not None:
                ends.append(RankEnd(item.rank, ended, seen.setdefault(item.rank, now), said, item.words))
        return ends

    def _patience_s(self) -> float:
        """How long silence is no hang."""
        limit = float(self.operation.hang_after_s)
        return limit if self.progress.latest else max(limit, LOADING_S)

    def _peers_gone(self, seen: dict[int, float], asked: bool) -> Outcome:
        deadline = time.monotonic() + PEERS_S
        while self.ranks.running() and time.monotonic() < deadline:
            self._ends(seen)
            time.sleep(POLL_S)
        # Ranks agree on stopping; what another node was asked may be known here only now.
        return Outcome("ended", self._ends(seen, said_is_done=True), asked or self.stop.requested)

    def _ask_to_stop(self) -> None:
        self.heart.say("saving", "asked to stop")
        self.group.ask_to_stop()
        self.log.say(f"asked to stop: the program may save for {self.operation.grace_s} s")
        self.ranks.signal(signal.SIGTERM)

    def _forced(self, ends: list[RankEnd]) -> list[RankEnd]:
        """A rank that is ended by force after a request to stop was stopped, not killed from outside."""
        ended = {end.rank for end in ends}
        rest = [item.rank for item in self.ranks.ranks if item.rank not in ended]
        return ends + [RankEnd(rank, -signal.SIGTERM, time.monotonic()) for rank in rest]

    def _dump_stacks(self) -> None:
        self.ranks.signal(signal.SIGUSR1)
        self.ranks.wait(DUMP_S)

    def _hang(self, seen: dict[int, float]) -> Outcome:
        """Stacks of all ranks into the log, then TERM, then KILL."""
        waited_for = self._silence.verdict()
        who = f" ({waited_for.message})" if waited_for.message else ""
        self.log.say(f"no progress for {self.progress.silent_s:.0f} s{who}: stacks of all ranks follow")
        self.group.ask_for_stacks()
        self._dump_stacks()
        self.ranks.signal(signal.SIGTERM)
        self.ranks.wait(min(WAKE_S, self.operation.grace_s))
        return Outcome("hang", self._ends(seen), stopping=True, waited_for=waited_for)
