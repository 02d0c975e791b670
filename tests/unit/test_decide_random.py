"""`decide` against random crashes: of controllers, agents, Jobs, and of others who work on the same keys.

A model of store and backend in memory, exact about what is atomic (create-only records) and about nothing else. Each
interleaving is one random history; SFTJOBS_INTERLEAVINGS sets how many are tried (`make crash-test`: 10,000).
"""

import os
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from sftjobs.attempts import FailureClass, Intent, Result, Termination
from sftjobs.backend.base import JobStatus
from sftjobs.controller.actions import Action, CreateJob, DeleteJob, Finish, RecordResult, WriteIntent
from sftjobs.controller.decide import decide
from sftjobs.controller.observed import Halt, Observed, StageView
from sftjobs.controller.retries import BUDGET, NO_COMMIT_RETRIES
from sftjobs.plan.types import ArtifactRef, Manifest, RunPlan
from sftjobs.runs import Attempt, Session, Verdict
from tests.support.chains import chain_plan, finish_chain

INTERLEAVINGS = int(os.environ.get("SFTJOBS_INTERLEAVINGS", "500"))
LONGEST = 3_000
"""Steps after which a history counts as endless."""
SHAPES: list[dict[str, list[str]]] = [
    {"a": []},
    {"a": [], "b": ["a"], "c": ["b"]},
    {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]},
    {"a": [], "b": [], "c": ["b"]},
]
ENDINGS: list[FailureClass] = [
    "config",
    "checkpoint",
    "stopped",
    "infrastructure",
    "hang",
    "busy",
    "out_of_memory",
    "user",
]
STUCK = 0.1
"""Chance that a pending Job is stuck, and that it starts nevertheless."""
CRASH = 0.12
"""Chance that a controller ends after a side effect."""


@dataclass
class Job:
    """A Job of the model: its agent works, and ends at some moment of its own."""

    intent: Intent
    phase: str = "pending"
    said: Termination | None = None
    asked: bool = False
    stuck: Termination | None = None
    """Why it will not start, as the backend sees it while it is pending; it may start all the same."""


@dataclass
class World:
    """Store, backend, and everybody else."""

    plan: RunPlan
    random: random.Random
    run_id: str = "demo-0123456789"
    now: float = 0.0
    intents: dict[tuple[str, int], Intent] = field(default_factory=dict)
    results: dict[tuple[str, int], Result] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    """Stage key -> who committed."""
    created: Counter[str] = field(default_factory=Counter)
    """Job name -> how often a Job of this name came into being."""
    foreign: set[str] = field(default_factory=set)
    """Stage keys whose LEASE another run holds."""
    cancel: bool = False
    verdict: Verdict | None = None
    sessions: list[Session] = field(default_factory=lambda: [Session(number=0, begun=0.0)])
    failures: float = 0.3
    """Chance that an agent ends in another way than by COMMIT."""

    # --- what a controller sees and does ---------------------------------------------------------------------------
    def observed(self, halt: Halt | None, asked: dict[str, bool]) -> Observed:
        jobs = {(j.intent.plan.stage, j.intent.attempt): _status(j, self.now) for j in self.jobs.values()}
        # The agents go on between the two looks, as they do in life.
        if self.random.random() < 0.3:
            self.world_step()
        done: dict[str, tuple[ArtifactRef, Manifest]] = {}
        views = {node.name: self.view(node.name, done) for node in self.plan.stages}
        halted = halt or ("cancelled" if self.cancel else None)
        return Observed(self.run_id, self.now, self.sessions[-1], views, jobs, halted, False, asked)

    def view(self, stage: str, done: dict[str, tuple[ArtifactRef, Manifest]]) -> StageView:
        intents = [(place, intent) for place, intent in sorted(self.intents.items()) if place[0] == stage]
        attempts = tuple(Attempt(intent, self.results.get(place)) for place, intent in intents)
        if not all(name in done for name in self.plan.stage(stage).inputs):
            return StageView(attempts=attempts)
        plan = finish_chain(self.plan, stage, done)
        committed = plan.key in self.commits
        if committed:
            done[stage] = _artifact(plan.key)
        waits = self.random.choice([0.0, 100.0])
        busy = "another run" if plan.key in self.foreign else None
        return StageView(plan, committed=committed, committed_for_s=waits, attempts=attempts, busy=busy)

    def act(self, action: Action) -> None:
        match action:
            case WriteIntent(intent):
                place = (intent.plan.stage, intent.attempt)
                assert place not in self.intents, "an intent is written once"
                before = [number for stage, number in self.intents if stage == place[0]]
                assert intent.attempt == len(before), "no number is skipped"
                assert all((place[0], number) in self.results for number in before), "one open attempt per stage"
                self.intents[place] = intent
            case CreateJob(intent):
                assert (intent.plan.stage, intent.attempt) in self.intents, "the intent comes first"
                others = [job for job in self.jobs.values() if job.intent.job != intent.job and job.phase != "ended"]
                assert intent.plan.stage not in {job.intent.plan.stage for job in others}, "one Job at a time"
                if intent.job not in self.jobs:
                    self.jobs[intent.job] = Job(intent)
                    self.created[intent.job] += 1
            case RecordResult(stage, result):
                assert (stage, result.attempt) not in self.results, "a result is recorded once"
                self.results[stage, result.attempt] = result
            case DeleteJob(_, name, _, _):
                if name in self.jobs:
                    self.jobs[name].asked = True
            case Finish(verdict):
                assert not [job for job in self.jobs.values() if job.phase != "ended"], "nothing works on"
                self.verdict = verdict

    # --- what happens without the controller -----------------------------------------------------------------------
    def world_step(self) -> None:
        """One random thing happens somewhere else."""
        self.now += self.random.choice([0.0, 1.0, 400.0])
        chance = self.random.random()
        if chance < 0.02:
            self.foreign.add(self._any_key())
        elif chance < 0.1 and self.foreign:
            self._foreign_ends()
        elif chance < 0.11:
            self._job_vanishes()
        else:
            self._agent_step()

    def _any_key(self) -> str:
        keys = [intent.plan.key for intent in self.intents.values()]
        return self.random.choice(keys) if keys else "none"

    def _foreign_ends(self) -> None:
        """The other run commits, or gives up."""
        key = self.foreign.pop()
        if key != "none" and self.random.random() < 0.5:
            self.commits.setdefault(key, "another run")

    def _job_vanishes(self) -> None:
        """Somebody deletes a Job object; its agent ends with it."""
        if self.jobs:
            del self.jobs[self.random.choice(sorted(self.jobs))]

    def _agent_step(self) -> None:
        alive = [job for _, job in sorted(self.jobs.items()) if job.phase != "ended"]
        if not alive:
            return
        job = self.random.choice(alive)
        if job.phase == "pending" and job.stuck is not None and job.asked:
            del self.jobs[job.intent.job]
        elif job.phase == "pending" and job.stuck is None and self.random.random() < STUCK:
            job.stuck = Termination(failure=self.random.choice(["image", "config", "infrastructure"]), code=10)
        elif job.phase == "pending" and (job.stuck is None or self.random.random() < STUCK):
            job.phase = "running"
        elif job.phase == "pending":
            return
        elif job.intent.plan.key in self.commits:
            job.said, job.phase = Termination(failure="committed", code=0), "ended"
        elif job.asked:
            how: FailureClass = self.random.choice(["stopped", "infrastructure"])
            job.said, job.phase = Termination(failure=how, code=20), "ended"
        else:
            self._work(job)

    def _work(self, job: Job) -> None:
        chance = self.random.random()
        if chance < self.failures:
            how = self.random.choice(ENDINGS)
            step = self.random.choice([None, 1, 2])
            job.said = Termination(failure=how, code=1, checkpoint=step, step=step)
            job.phase = "ended"
        elif chance < self.failures + 0.03:
            job.said, job.phase = Termination(failure="committed", code=0), "ended"  # and COMMIT is not there
        else:
            self.commits.setdefault(job.intent.plan.key, job.intent.job)  # it ends in a later step, or is killed
            if self.random.random() < 0.2:
                job.said, job.phase = Termination(failure="infrastructure", code=21), "ended"


def _status(job: Job, now: float) -> JobStatus:
    place = (job.intent.job, job.intent.plan.stage, job.intent.attempt)
    hopeless = job.stuck if job.phase == "pending" else None
    finished = now if job.said else None
    return JobStatus(*place, job.phase, job.said, finished=finished, hopeless=hopeless)  # type: ignore[arg-type]


def _artifact(key: str) -> tuple[ArtifactRef, Manifest]:
    ref = ArtifactRef(kind="data", key=key, incarnation=1, digest=key, manifest_sha256="0" * 64)
    manifest = Manifest(
        kind="data", key=key, incarnation=1, digest=key, content=[], info=[], inputs={}, versions={}, counts={}
    )
    return ref, manifest


def play(world: World, halt_at: int | None) -> int:
    """One history: controllers come and go until there is a verdict. Returns the number of controllers."""
    controllers, steps = 1, 0
    asked: dict[str, bool] = {}
    while world.verdict is None:
        steps += 1
        assert steps < LONGEST, "the run does not end"
        if halt_at is not None and steps >= halt_at:
            world.cancel = True
        world.world_step()
        stages = []
        seen = world.observed(None, asked)
        for action in decide(world.plan, seen):
            stages.append(_stage(action))
            check_action(action, seen)
            world.act(action)
            if isinstance(action, DeleteJob):
                asked[action.job] = action.force
            if world.random.random() < CRASH:
                controllers, asked = controllers + 1, {}
                break
        assert len(stages) == len(set(stages)), "at most one action per stage and tick"
    return controllers


def check_action(action: Action, seen: Observed) -> None:
    """Work is only begun where it can be of use, as far as the controller can know."""
    if isinstance(action, WriteIntent | CreateJob):
        view = seen.stages[_stage(action)]
        assert seen.halt is None, "nothing is begun while the run is being cancelled"
        assert not view.committed, "a committed stage is never run"
        assert view.busy is None or isinstance(action, CreateJob), "no Job while somebody else works on the key"


def _stage(action: Action) -> str:
    match action:
        case WriteIntent(intent) | CreateJob(intent):
            return intent.plan.stage
        case RecordResult(stage, _) | DeleteJob(stage, _, _, _):
            return stage
        case _:
            return ""


def check(world: World) -> None:
    """What must hold at the end of every history."""
    verdict = world.verdict
    assert verdict is not None
    assert set(world.intents) == set(world.results), "every attempt has a result"
    done: dict[str, tuple[ArtifactRef, Manifest]] = {}
    for node in world.plan.stages:
        world.view(node.name, done)
    if verdict.outcome == "succeeded":
        assert set(done) == {node.name for node in world.plan.stages}
    elif verdict.outcome == "failed":
        assert verdict.stage is not None
        assert verdict.stage not in done
    for (stage, number), result in world.results.items():
        if result.termination.failure == "committed":
            assert world.intents[stage, number].plan.key in world.commits, "nothing is called done without COMMIT"
    _check_budgets(world)


def _check_budgets(world: World) -> None:
    for node in world.plan.stages:
        charged = Counter(
            result.termination.failure for (stage, _), result in world.results.items() if stage == node.name
        )
        for failure, budget in BUDGET.items():
            allowed = int(world.plan.retries[budget])
            assert charged[failure] <= allowed + 1, f"{node.name}: {failure} was tried too often"
        assert charged["config"] + charged["checkpoint"] + charged["image"] <= 1
        lost = sum(bool(r.facts) for (stage, _), r in world.results.items() if stage == node.name)
        assert lost <= NO_COMMIT_RETRIES + 1


@pytest.mark.parametrize("block", range(10))
def test_random_crashes(block: int) -> None:
    outcomes: Counter[str] = Counter()
    crashes = 0
    for number in range(INTERLEAVINGS // 10):
        chance = random.Random(f"{block}/{number}")
        budgets = {
            "infrastructure": chance.choice([0, 2, 10]),
            "user_error": chance.choice([0, 1]),
            "backoff_s": chance.choice([0.0, 5.0]),
        }
        plan = chain_plan(chance.choice(SHAPES), parallel_stages=chance.choice([1, 2]), **budgets)
        world = World(plan, chance, failures=chance.choice([0.0, 0.3, 0.7]))
        crashes += play(world, chance.choice([None, None, 5, 20])) - 1
        check(world)
        assert world.verdict is not None
        outcomes[world.verdict.outcome] += 1
    assert crashes > 0
    assert set(outcomes) == {"succeeded", "failed", "cancelled"}
