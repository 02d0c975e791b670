"""The part of an attempt that is the same on every node: inputs, ranks, what their end means.

lead.py has what node 0 does beyond that, follow.py what the other nodes do.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sftjobs import names
from sftjobs.agent import ranks
from sftjobs.agent.cache import node_cache
from sftjobs.agent.classify import classify, doubt
from sftjobs.agent.environment import AgentEnvironment
from sftjobs.agent.facts import Facts, Moments
from sftjobs.agent.group.base import Doubt, Group, hang
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.inputs import fetch_inputs
from sftjobs.agent.logs import Log
from sftjobs.agent.memory import oom_kills
from sftjobs.agent.progress import Progress
from sftjobs.agent.stop import Stop, StopRequested
from sftjobs.agent.supervise import Outcome, Supervisor
from sftjobs.agent.whereabouts import Verdict
from sftjobs.agent.workdir import Workdir
from sftjobs.artifact import checkpoints
from sftjobs.artifact.checkpoints import StoredCheckpoint
from sftjobs.attempts import Termination
from sftjobs.canonical import readable
from sftjobs.crashpoints import crash_point
from sftjobs.errors import BusyError, DamagedError
from sftjobs.plan.types import StagePlan
from sftjobs.store.base import OnBytes, Store
from sftjobs.store.open import open_store

PIPES_S = 2.0
"""A helper process that outlives its rank may keep a pipe open for so long."""


@dataclass
class Attempt(ABC):
    """One attempt of one stage on one node."""

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

    @abstractmethod
    def run(self) -> Termination:
        """Raises BusyError, StopRequested, GroupEnded, DataError, StoreError; see `classify.of_error`."""

    def with_heart(self, work: Callable[[Heart], Termination]) -> Termination:
        """Do the work with a heartbeat whose last beat says how it ended."""
        environment = self.environment
        key = names.heartbeat(environment.run_id, environment.stage, environment.attempt, environment.node_rank)
        heart = Heart(self.store, key, self.progress, self.moments)
        message = "failed"
        try:
            termination = work(heart)
            message = termination.failure
            return termination
        except StopRequested:
            message = "stopped"
            raise
        finally:
            heart.close(message)

    def fetch_inputs(self, heart: Heart) -> None:
        """Plan and inputs into the working folder."""
        plan, workdir = self.plan, self.workdir
        workdir.make()
        workdir.plan.write_bytes(readable(plan.model_dump(mode="json")))
        run_id, cache = self.environment.run_id, node_cache(os.environ, self.log.say)
        fetch_inputs(self.store, self._open_uri, plan, workdir.inputs, self._on_bytes(heart), run_id, cache)

    def fetch_checkpoint(self, found: StoredCheckpoint, heart: Heart) -> str:
        """This node's part of a checkpoint; returns what is wrong with it, or the empty string.

        Raises CheckpointError if it was made by another number of ranks.
        """
        plan, node = self.plan, self.environment.node_rank
        world, target = plan.resources.world_size, self.workdir.resume
        try:
            checkpoints.fetch_part(self.store, plan.kind, plan.key, found, world, node, target, self._on_bytes(heart))
        except DamagedError as damage:
            return f"{damage.key} is damaged"
        return ""

    def resume_folder(self, step: int) -> Path:
        """Note that the program goes on from the checkpoint of `step`, and say where it is."""
        self.facts.resumed_from = step
        self.log.say(f"going on from the checkpoint of step {step}")
        return self.workdir.resume / names.step_folder(step)

    def _on_bytes(self, heart: Heart) -> OnBytes:
        def on_bytes(count: int) -> None:
            heart.on_bytes(count)
            self.stop.check()

        return on_bytes

    def _open_uri(self, uri: str) -> Store:
        """Another place in S3, with the credentials of the run's store."""
        return open_store(self.environment.store.model_copy(update={"uri": uri}), Path.cwd())

    def run_ranks(
        self, start: Callable[[], ranks.Ranks], group: Group, lost: Callable[[], bool], heart: Heart
    ) -> tuple[Termination | None, Doubt]:
        """Start the ranks of this node and watch them to their end.

        Returns what their end means (None: there is something to commit), and whether ranks elsewhere may be to blame
        for it. Raises BusyError if the LEASE was lost.
        """
        kills = oom_kills()
        self.progress.restart()
        self.moments.program_begins()
        local = start()
        try:
            crash_point("after-ranks-start")
            supervisor = Supervisor(
                local,
                self.plan.resources.world_size,
                self.plan.operation,
                self.progress,
                self.stop,
                lost,
                heart,
                self.log,
                group,
            )
            outcome = supervisor.watch()
        finally:
            local.kill()
        crash_point("after-ranks-end")
        self.log.wait(PIPES_S)
        termination = self._meaning(outcome, oom=oom_kills() > kills)
        return termination, doubt(outcome.ends, outcome.stopping) if outcome.cause == "ended" else Doubt.NONE

    def _meaning(self, outcome: Outcome, oom: bool) -> Termination | None:
        if outcome.elsewhere is not None:
            return outcome.elsewhere
        if outcome.cause == "lost":
            raise BusyError("the LEASE was lost: somebody else works on this stage now")
        if outcome.cause == "hang":
            who = outcome.waited_for or Verdict()
            more = f"{': ' if who.message else ''}{who.message}; the stacks of all ranks are in the log"
            return hang(self.plan.operation.hang_after_s, more, who.rank)
        return classify(outcome.ends, stopping=outcome.stopping, oom=oom)
