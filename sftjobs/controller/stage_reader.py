"""What the store says about each stage: read anew each time, except what can never change."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sftjobs import names
from sftjobs.artifact import lease, stages
from sftjobs.controller.observed import Refusal, StageView
from sftjobs.errors import DamagedError, SftError
from sftjobs.plan.types import ArtifactRef, Manifest, RunPlan, StageNode, StagePlan
from sftjobs.runs import Attempt, AttemptReader
from sftjobs.store.base import Store

FinishStage = Callable[[RunPlan, str, Mapping[str, tuple[ArtifactRef, Manifest]]], StagePlan]
"""`sftjobs.plan.finish.finish`, or a test's own."""


@dataclass(frozen=True)
class _Done:
    """A committed stage. COMMIT is write-once, so this is kept for the life of the controller."""

    artifact: tuple[ArtifactRef, Manifest]
    since: float
    """Monotonic time at which it was first seen."""


class StageReader:
    """The stages of one run. Keep it for the life of a process: it remembers what is write-once."""

    def __init__(self, store: Store, plan: RunPlan, run_id: str, finish: FinishStage) -> None:
        self._store = store
        self._plan = plan
        self._run_id = run_id
        self._finish = finish
        self._attempts = AttemptReader(store, run_id)
        self._leases = lease.LeaseWatch()
        self._plans: dict[str, StagePlan] = {}
        self._refusals: dict[str, Refusal] = {}
        self._done: dict[str, _Done] = {}

    def read(self) -> dict[str, StageView]:
        """Every stage, in plan order. Raises StoreError."""
        attempts = self._attempts.read()
        return {node.name: self._view(node, attempts.get(node.name, [])) for node in self._plan.stages}

    def _view(self, node: StageNode, attempts: list[Attempt]) -> StageView:
        plan = self._plan_of(node)
        done, busy = self._done.get(node.name), None
        if plan is not None and done is None and all(attempt.result is not None for attempt in attempts):
            busy = self._holder(plan)  # before COMMIT: whoever has released the LEASE in between has committed
        done = done or self._look_for_commit(node, plan)
        return StageView(
            plan=plan,
            refusal=self._refusals.get(node.name),
            committed=done is not None,
            committed_for_s=time.monotonic() - done.since if done is not None else 0.0,
            attempts=tuple(attempts),
            busy=busy if done is None else None,
        )

    def _plan_of(self, node: StageNode) -> StagePlan | None:
        """The finished plan, once every input is committed."""
        if node.name in self._plans or node.name in self._refusals:
            return self._plans.get(node.name)
        needed = {item.stage for item in node.inputs.values() if item.stage is not None}
        if not needed <= self._done.keys():
            return None
        try:
            artifacts = {name: done.artifact for name, done in self._done.items()}
            self._plans[node.name] = self._finish(self._plan, node.name, artifacts)
        except SftError as error:
            self._refusals[node.name] = Refusal("config", str(error))
        return self._plans.get(node.name)

    def _look_for_commit(self, node: StageNode, plan: StagePlan | None) -> _Done | None:
        """Sizes are checked when a COMMIT is first seen; a damaged artifact is never made again by itself."""
        if plan is None or node.name in self._refusals:
            return None
        try:
            commit = stages.read_commit(self._store, plan.kind, plan.key)
            if commit is None:
                return None
            manifest = stages.read_manifest(self._store, plan.kind, plan.key, commit)
            stages.check_sizes(self._store, plan.kind, plan.key, manifest)
        except DamagedError as error:
            message = str(error).replace("discard RUN STAGE", f"discard {self._run_id} {node.name}")
            self._refusals[node.name] = Refusal("infrastructure", message)
            return None
        self._done[node.name] = _Done((stages.ref(commit, manifest), manifest), time.monotonic())
        return self._done[node.name]

    def _holder(self, plan: StagePlan) -> str | None:
        view = lease.observe(self._store, names.stage_prefix(plan.kind, plan.key) + names.LEASE, self._leases)
        if not view.held:
            return None
        if view.owner is None:
            return "somebody else"
        return f"{view.owner.what} (pid {view.owner.pid} on {view.owner.host})"
