"""The part of an attempt that works on the stage key: everything between LEASE and COMMIT."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from sftjobs import names
from sftjobs.agent import publish, ranks
from sftjobs.agent.cache import node_cache
from sftjobs.agent.classify import classify
from sftjobs.agent.environment import AgentEnvironment
from sftjobs.agent.facts import Facts, Moments
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.image import check_image
from sftjobs.agent.inputs import fetch_inputs
from sftjobs.agent.logs import Log
from sftjobs.agent.memory import oom_kills
from sftjobs.agent.progress import Progress
from sftjobs.agent.saver import Saver
from sftjobs.agent.stop import Stop, StopRequested
from sftjobs.agent.supervise import Outcome, Supervisor
from sftjobs.agent.workdir import Workdir
from sftjobs.artifact import checkpoints, stages
from sftjobs.artifact.lease import Lease
from sftjobs.attempts import Termination
from sftjobs.canonical import readable
from sftjobs.crashpoints import crash_point
from sftjobs.errors import BusyError, DataError
from sftjobs.names import Exit
from sftjobs.plan.types import Manifest, StagePlan
from sftjobs.store.base import Store
from sftjobs.store.open import open_store

PIPES_S = 2.0
"""A helper process that outlives its rank may keep a pipe open for so long."""
AFTER_FAILURE_S = 60.0
"""A complete checkpoint of a program that failed is worth so many seconds of upload."""


@dataclass
class Attempt:
    """One attempt of one stage on this node."""

    environment: AgentEnvironment
    store: Store
    plan: StagePlan
    stop: Stop
    log: Log

    def __post_init__(self) -> None:
        self.workdir = Workdir(self.environment.workdir)
        self.progress = Progress(self.workdir.progress)
        self.facts = Facts(self.environment)
        self.moments = Moments()
        prefix = names.stage_prefix(self.plan.kind, self.plan.key)
        what = self.environment.what
        self.lease = Lease(self.store, prefix + names.LEASE, what=what, run_id=self.environment.run_id)
        self.incarnation = 0

    def run(self) -> Termination:
        """Raises BusyError, StopRequested, DataError, StoreError; what they mean is in `classify.of_error`."""
        self._take_lease()
        try:
            crash_point("after-lease")
            termination = self._with_lease()
        finally:
            self.lease.release()
            crash_point("after-release")
            self.workdir.remove()
        return termination

    def _take_lease(self) -> None:
        try:
            self.lease.acquire(given_up=lambda: self.stop.requested)
        except BusyError:
            self.stop.check()
            raise

    def _with_lease(self) -> Termination:
        if stages.read_commit(self.store, self.plan.kind, self.plan.key) is not None:
            return Termination(failure="committed", code=Exit.COMMITTED, message="was committed by somebody else")
        environment = self.environment
        key = names.heartbeat(environment.run_id, environment.stage, environment.attempt, environment.node_rank)
        heart = Heart(self.store, key, self.progress, self.moments)
        message = "failed"
        try:
            termination = self._work(heart)
            message = termination.failure
            return termination
        except StopRequested:
            message = "stopped"
            raise
        finally:
            heart.close(message)

    def _work(self, heart: Heart) -> Termination:
        check_image(self.plan)
        stages.write_key(self.store, self.plan)
        crash_point("after-key")
        self.stop.check()
        heart.incarnation = self.incarnation = stages.claim(self.store, self.plan.kind, self.plan.key)
        crash_point("after-claim")
        self.log.say(f"stage {self.plan.stage}, attempt {self.environment.attempt}, incarnation {self.incarnation}")
        with self.facts.phase("fetch"):
            resume = self._begin(heart)
        crash_point("after-inputs")
        self.stop.check()
        heart.say("running")
        with self.facts.phase("run"):
            ended = self._run_program(resume, heart)
        if ended is not None:
            return ended
        heart.say("uploading")
        return self._publish(heart)

    def _begin(self, heart: Heart) -> Path | None:
        """Plan, inputs and the checkpoint to go on from, all in the working folder."""
        plan, workdir = self.plan, self.workdir

        def on_bytes(count: int) -> None:
            heart.on_bytes(count)
            self.stop.check()

        workdir.make()
        workdir.plan.write_bytes(readable(plan.model_dump(mode="json")))
        run_id, cache = self.environment.run_id, node_cache(os.environ, self.log.say)
        fetch_inputs(self.store, self._open_uri, plan, workdir.inputs, on_bytes, run_id, cache)
        resume = checkpoints.fetch_newest(
            self.store, plan.kind, plan.key, plan.resources.world_size, workdir.resume, self.log.say, on_bytes
        )
        if resume is not None:
            self.facts.resumed_from = checkpoints.step_of(resume)
            self.log.say(f"going on from the checkpoint of step {self.facts.resumed_from}")
        return resume

    def _open_uri(self, uri: str) -> Store:
        """Another place in S3, with the credentials of the run's store."""
        return open_store(self.environment.store.model_copy(update={"uri": uri}), Path.cwd())

    def _run_program(self, resume: Path | None, heart: Heart) -> Termination | None:
        """Run the ranks to their end; None if they left something to commit."""
        kills = oom_kills()
        self.progress.restart()
        self.moments.program_begins()
        group = ranks.start(self.plan, self.workdir, resume, self.log, os.environ)
        try:
            crash_point("after-ranks-start")
            saver = self._saver(heart)
            supervisor = Supervisor(group, self.plan.operation, self.progress, self.stop, self.lease, heart, self.log)
            outcome = supervisor.watch()
        finally:
            group.kill()
        crash_point("after-ranks-end")
        self.log.wait(PIPES_S)
        termination = self._meaning(outcome, oom=oom_kills() > kills)
        self._last_checkpoint(saver, outcome, termination)
        if termination is None:
            return None
        return termination.model_copy(update={"step": self.progress.step, "checkpoint": saver.newest})

    def _saver(self, heart: Heart) -> Saver:
        def on_commit() -> None:
            self.moments.checkpoint_committed()
            heart.beat()

        folder, newest = self.workdir.checkpoints, self.facts.resumed_from
        return Saver(self.store, self.plan, self.incarnation, folder, newest, self.log, on_commit)

    def _meaning(self, outcome: Outcome, oom: bool) -> Termination | None:
        if outcome.cause == "lost":
            raise BusyError("the LEASE was lost: somebody else works on this stage now")
        if outcome.cause == "hang":
            limit = f"hang_after_s = {self.plan.operation.hang_after_s}"
            message = f"no progress for longer than allowed ({limit}); the stacks of all ranks are in the log"
            return Termination(failure="hang", code=Exit.HANG, message=message)
        termination = classify(outcome.ends, stopping=outcome.stopping, oom=oom)
        content = self.workdir.output / names.CONTENT
        if termination is None and not any(path.is_file() for path in content.rglob("*")):
            message = "the program ended well but wrote nothing to content/"
            return Termination(failure="user", code=Exit.USER_ERROR, message=message)
        return termination

    def _last_checkpoint(self, saver: Saver, outcome: Outcome, termination: Termination | None) -> None:
        """After the end a checkpoint is only worth an upload if somebody will go on from it."""
        if termination is None:
            saver.abort()
            return
        left_s = AFTER_FAILURE_S
        if self.stop.requested:
            left_s = self.stop.since + self.plan.operation.grace_s - time.monotonic()
        saver.finish(left_s)

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
