"""The ranks of node 0 have ended well, and those of other nodes have not yet."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sftjobs.agent.group.base import hang, stopped
from sftjobs.agent.group.leader import Leader, numbered
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.logs import Log
from sftjobs.agent.stop import Stop
from sftjobs.attempts import Termination
from sftjobs.errors import BusyError
from sftjobs.plan.types import Operation

STACKS_S = 2.0
"""Time for the other nodes to hear that stacks are wanted, and for their ranks to write them."""


@dataclass
class Stragglers:
    """Nobody reports progress any more: what counts is that one node after the other ends."""

    group: Leader
    operation: Operation
    stop: Stop
    lost: Callable[[], bool]
    """Whether the LEASE was lost."""
    heart: Heart
    log: Log

    def wait(self) -> Termination | None:
        """None once the ranks of all nodes have ended well; otherwise how the attempt ended.

        Raises BusyError if the LEASE was lost.
        """
        nodes, changed, asked = self.group.unfinished(), time.monotonic(), False
        if nodes:
            self.heart.say("running", f"waiting for {numbered(nodes)} to end")
        while nodes:
            end = self.group.news().end
            if end is not None:
                return end
            if self.group.has_stopped():
                return stopped()
            if self.lost():
                raise BusyError("the LEASE was lost: somebody else works on this stage now")
            if self.stop.requested and not asked:
                asked = True
                self._ask_to_stop(nodes)
            if asked and self.stop.time_is_up(self.operation.grace_s):
                return stopped(f"stopped on request; {numbered(nodes)} did not end in time")
            if not asked and time.monotonic() - changed > self.operation.hang_after_s:
                return self._hang(nodes)
            self.group.wait()
            before, nodes = nodes, self.group.unfinished()
            changed = changed if nodes == before else time.monotonic()
        return None

    def _ask_to_stop(self, nodes: list[int]) -> None:
        self.group.ask_to_stop()
        self.log.say(f"asked to stop: {numbered(nodes)} may go on for {self.operation.grace_s} s")

    def _hang(self, nodes: list[int]) -> Termination:
        """Have the stacks written. The ranks are ended by their agents when those hear how the attempt ended."""
        which = numbered(nodes)
        self.log.say(f"the ranks of {which} do not end: their stacks follow in the log of their node")
        self.group.ask_for_stacks()
        time.sleep(STACKS_S)
        more = f": the ranks of {which} have not ended, all others have; their stacks are in the log"
        return hang(self.operation.hang_after_s, more)
