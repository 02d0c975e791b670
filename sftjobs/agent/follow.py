"""An attempt on a node other than node 0: it finds node 0 and does its part of what that one decides."""

import os
import time
from functools import partial
from pathlib import Path

from sftjobs.agent import ranks
from sftjobs.agent.attempt import Attempt
from sftjobs.agent.classify import of_error
from sftjobs.agent.group.base import Doubt, GroupEnded, stopped
from sftjobs.agent.group.peer import Peer
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.image import check_image
from sftjobs.agent.shards import ShardUploader
from sftjobs.artifact.checkpoints import Place, StoredCheckpoint
from sftjobs.attempts import Termination
from sftjobs.names import Exit

LATE_S = 5.0
"""Node 0's last word may come so much later than the grace allows: it has a clock of its own."""
ASK_S = 0.2


class FollowingAttempt(Attempt):
    """Has no LEASE and never commits. Its end is the end that node 0 tells it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        environment = self.environment
        self.group = Peer(environment.node_rank, environment.nonce, environment.leader, self.log.say, self.stop.request)

    def run(self) -> Termination:
        with self.group:
            try:
                return self.with_heart(self._work)
            except GroupEnded:
                raise
            except Exception as error:
                # Node 0 must not take this for a lost node: being asked to stop, say, costs nothing.
                return self.group.settle(of_error(error), Doubt.NONE)
            finally:
                self.workdir.remove()

    def _work(self, heart: Heart) -> Termination:
        plan, node = self.plan, self.environment.node_rank
        check_image(plan)
        self.log.say(f"stage {plan.stage}, attempt {self.environment.attempt}, node {node}")
        self.group.connect(plan.operation.group_wait_s, self.stop.check)
        with self.facts.phase("fetch"):
            self.fetch_inputs(heart)
        resume, port = self._fetch_checkpoint(heart)
        heart.say("running")
        place = Place(self.store, plan.kind, plan.key, heart.incarnation or 0)
        mine = plan.resources.ranks_of(node)
        uploader = ShardUploader(place, node, mine, self.workdir.checkpoints, self.log, self.group)
        meet = ranks.Meeting(self.environment.leader[0], port)
        start = partial(ranks.start, plan, node, self.workdir, resume, self.log, os.environ, meet)
        try:
            termination, doubt = self.run_ranks(start, self.group, lambda: False, heart)
            uploader.tell()  # before node 0 hears that no more is written
            return self._until_the_end(termination, doubt, heart)
        finally:
            uploader.abort()

    def _fetch_checkpoint(self, heart: Heart) -> tuple[Path | None, int]:
        """Do as node 0 proposes until all nodes agree; the checkpoint to go on from, and MASTER_PORT."""
        step: int | None = None
        while not isinstance(proposal := self.group.instruction(self.stop.check), int):
            heart.incarnation, step = proposal.incarnation, proposal.step
            problem = ""
            if step is not None:
                assert proposal.saved_by is not None
                problem = self.fetch_checkpoint(StoredCheckpoint(step, proposal.saved_by), heart)
            self.group.answer(problem)
        return None if step is None else self.resume_folder(step), proposal

    def _until_the_end(self, termination: Termination | None, doubt: Doubt, heart: Heart) -> Termination:
        """The ranks here have ended; parts of checkpoints are still uploaded if node 0 orders them."""
        if termination is None:
            self.group.finished()
            heart.say("uploading", "waiting for node 0 to commit")
            return self._word_of_commit()
        if termination.code == Exit.STOPPED:
            self.group.stopped()
            heart.say("saving", "waiting for node 0 to save")
            return self._word_after_stop() or termination
        return self.group.settle(termination, doubt)

    def _word_of_commit(self) -> Termination:
        """However long node 0 takes, unless somebody is asked to stop."""
        while not self.stop.requested:
            if (end := self.group.verdict(ASK_S)) is not None:
                return end
        self.group.ask_to_stop()
        self.log.say(f"asked to stop: node 0 may commit for {self.plan.operation.grace_s} s")
        message = "stopped on request; node 0 has not said whether the result is committed"
        return self._word_after_stop() or stopped(message)

    def _word_after_stop(self) -> Termination | None:
        """What node 0 says in the grace that is left."""
        return self.group.verdict(self.stop.since + self.plan.operation.grace_s + LATE_S - time.monotonic())
