"""An attempt on node 0, which is the only node of most attempts: everything between LEASE and COMMIT."""

import os
import time
from contextlib import suppress
from functools import partial

from sftjobs import names
from sftjobs.agent import publish, ranks
from sftjobs.agent.attempt import Attempt
from sftjobs.agent.classify import of_error
from sftjobs.agent.group.leader import Leader
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.image import check_image
from sftjobs.agent.saver import Saver
from sftjobs.agent.stragglers import Stragglers
from sftjobs.artifact import checkpoints, stages
from sftjobs.artifact.checkpoints import Place, StoredCheckpoint
from sftjobs.artifact.lease import Lease
from sftjobs.attempts import Termination
from sftjobs.crashpoints import crash_point
from sftjobs.errors import BusyError, DataError, StoreError
from sftjobs.names import Exit
from sftjobs.plan.types import Manifest
from sftjobs.runs import add_event

AFTER_FAILURE_S = 60.0
"""A complete checkpoint of a program that failed is worth so many seconds of upload."""

LATE_S = 5.0
"""After a failure ranks of other nodes, if they still run, may write their part of the last checkpoint for so long."""


class LeadingAttempt(Attempt):
    """Takes the LEASE, claims the incarnation, picks the checkpoint, commits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        prefix = names.stage_prefix(self.plan.kind, self.plan.key)
        what = self.environment.what
        self.lease = Lease(self.store, prefix + names.LEASE, what=what, run_id=self.environment.run_id)
        self.incarnation = 0
        nodes, nonce, port = self.plan.resources.nodes, self.environment.nonce, self.environment.leader[1]
        self.group = Leader(nodes, nonce, port, self.log.say, self.stop.request)

    def run(self) -> Termination:
        with self.group:
            try:
                termination = self._leased()
            except Exception as error:
                self.group.end(of_error(error))
                raise
            self.group.end(termination)
        return termination

    def _leased(self) -> Termination:
        self._take_lease()
        try:
            crash_point("after-lease")
            if stages.read_commit(self.store, self.plan.kind, self.plan.key) is not None:
                message = "was committed by somebody else"
                return Termination(failure="committed", code=Exit.COMMITTED, message=message)
            return self.with_heart(self._work)
        finally:
            self.lease.release()
            crash_point("after-release")
            self.workdir.remove()

    def _take_lease(self) -> None:
        try:
            self.lease.acquire(given_up=lambda: self.stop.requested)
        except BusyError:
            self.stop.check()
            raise

    def _work(self, heart: Heart) -> Termination:
        check_image(self.plan)
        stages.write_key(self.store, self.plan)
        crash_point("after-key")
        self.stop.check()
        heart.incarnation = self.incarnation = stages.claim(self.store, self.plan.kind, self.plan.key)
        crash_point("after-claim")
        self.log.say(f"stage {self.plan.stage}, attempt {self.environment.attempt}, incarnation {self.incarnation}")
        with self.facts.phase("fetch"):
            self.fetch_inputs(heart)
            self.group.gather(self.plan.operation.group_wait_s, self._check)
            found = self._agree_on_checkpoint(heart)
        crash_point("after-inputs")
        self.stop.check()
        heart.say("running")
        with self.facts.phase("run"):
            ended = self._run_program(found, heart)
        if ended is not None:
            return ended
        heart.say("uploading")
        return self._publish(heart)

    def _check(self) -> None:
        """While peers are waited for."""
        self.stop.check()
        if self.lease.lost:
            raise BusyError("the LEASE was lost: somebody else works on this stage now")

    def _agree_on_checkpoint(self, heart: Heart) -> StoredCheckpoint | None:
        """The newest one of which every node has fetched its part; None: from the beginning."""
        tried: set[StoredCheckpoint] = set()
        while (found := self._newest_checkpoint(tried)) is not None:
            tried.add(found)
            self.group.propose(self.incarnation, found.step, found.incarnation)
            problems = [self.fetch_checkpoint(found, heart), *self.group.problems(self._check)]
            if not any(problems):
                return found
            self._skip(found, "; ".join(problem for problem in problems if problem))
        self.group.propose(self.incarnation, None, None)
        self.group.problems(self._check)
        return None

    def _skip(self, found: StoredCheckpoint, why: str) -> None:
        """Steps are lost that were saved: said in the log, and where it outlives the attempt."""
        self.log.say(f"checkpoint of step {found.step} is skipped, another one will be used: {why}")
        environment = self.environment
        with suppress(StoreError):  # nothing is decided from it
            where = {"stage": environment.stage, "attempt": environment.attempt}
            add_event(self.store, environment.run_id, "checkpoint-skipped", **where, step=found.step, reason=why)

    def _newest_checkpoint(self, tried: set[StoredCheckpoint]) -> StoredCheckpoint | None:
        """Listed anew each time: an agent that was taken for dead may have saved a newer one, and deleted the last."""
        found = checkpoints.list_checkpoints(self.store, self.plan.kind, self.plan.key)
        return next((one for one in found if one not in tried), None)

    def _run_program(self, found: StoredCheckpoint | None, heart: Heart) -> Termination | None:
        """Run the ranks to their end on all nodes; None if they left something to commit."""
        resume = None if found is None else self.resume_folder(found.step)
        port = int(os.environ.get("MASTER_PORT") or ranks.free_port())
        self.group.start(port)
        meet = ranks.Meeting("127.0.0.1", port)  # rank 0 is here, and the name of this node may not be known yet
        saver = self._saver(heart)
        start = partial(ranks.start, self.plan, 0, self.workdir, resume, self.log, os.environ, meet)
        termination, doubt = self.run_ranks(start, self.group, lambda: self.lease.lost, heart)
        if termination is None:
            termination = self._nothing_written() or self._stragglers(heart).wait()
        elif termination.code != Exit.STOPPED:
            termination = self.group.settle(termination, doubt)
        self._last_checkpoint(saver, termination)
        if termination is None:
            return None
        if termination.code == Exit.STOPPED:
            forced = self.stop.since + self.plan.operation.grace_s
            termination = self.group.after_stop(termination, forced, saver.unsaved)
        return termination.model_copy(update={"step": self.progress.step, "checkpoint": saver.newest})

    def _stragglers(self, heart: Heart) -> Stragglers:
        return Stragglers(self.group, self.plan.operation, self.stop, lambda: self.lease.lost, heart, self.log)

    def _saver(self, heart: Heart) -> Saver:
        def on_commit() -> None:
            self.moments.checkpoint_committed()
            heart.beat()

        place = Place(self.store, self.plan.kind, self.plan.key, self.incarnation)
        plan, folder, newest = self.plan, self.workdir.checkpoints, self.facts.resumed_from
        return Saver(place, plan.resources, plan.operation, folder, newest, self.log, self.group, on_commit)

    def _nothing_written(self) -> Termination | None:
        content = self.workdir.output / names.CONTENT
        if any(path.is_file() for path in content.rglob("*")):
            return None
        message = "the program ended well but wrote nothing to content/"
        return Termination(failure="user", code=Exit.USER_ERROR, message=message)

    def _last_checkpoint(self, saver: Saver, termination: Termination | None) -> None:
        """After the end a checkpoint is only worth an upload if somebody will go on from it."""
        if termination is None:
            saver.abort()
            return
        left_s, late_s = AFTER_FAILURE_S, LATE_S
        if self.stop.requested:
            left_s = late_s = self.stop.since + self.plan.operation.grace_s - time.monotonic()
        saver.finish(left_s, late_s)

    def _publish(self, heart: Heart) -> Termination:
        """Upload, then COMMIT; an outage of the store is waited for."""
        operation = self.plan.operation

        def upload() -> Manifest:
            with self.facts.phase("upload"):
                return publish.upload_output(
                    self.store, self.plan, self.incarnation, self.workdir.output, self.facts.collect, heart.on_bytes
                )

        limits = (float(operation.hang_after_s), self.stop, self.log, float(operation.grace_s))
        try:
            manifest = publish.patiently("upload", upload, *limits)
            warning = publish.patiently("commit", lambda: publish.commit(self.store, manifest), *limits)
        except DataError as error:
            return Termination(failure="user", code=Exit.USER_ERROR, message=str(error))
        crash_point("after-commit")
        message = warning or f"committed {manifest.digest}"
        return Termination(
            failure="committed",
            code=Exit.COMMITTED,
            step=self.progress.step,
            message=message,
        )
