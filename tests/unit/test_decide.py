"""The table of `decide` in docs/failures.md, row by row."""

from dataclasses import replace
from typing import Any

import pytest

from sftjobs.attempts import Result, Termination
from sftjobs.controller.actions import Action, CreateJob, DeleteJob, Finish, RecordResult, WriteIntent
from sftjobs.controller.budget import over_budget
from sftjobs.controller.decide import LEAVE_S, decide, places_of
from sftjobs.controller.observed import Refusal, StageView
from sftjobs.controller.retries import NO_COMMIT
from sftjobs.plan.types import Resources
from sftjobs.runs import Session
from tests.support.chains import NOW, attempts, chain_plan, intent, job, observed, result, view

ONE = chain_plan({"a": []})
TWO = chain_plan({"a": [], "b": ["a"]})
FORK = chain_plan({"a": [], "b": [], "c": []}, parallel_stages=2)
DONE = view("a", "committed", committed=True)


def the_one(actions: list[Action]) -> Any:
    assert len(actions) == 1
    return actions[0]


def one(stage: StageView, *jobs: Any, **more: Any) -> list[Action]:
    """What is decided for a run of one stage."""
    return decide(ONE, observed({"a": stage}, *jobs, **more))


def recorded(stage: StageView, *jobs: Any, **more: Any) -> Any:
    """The termination in the result that is recorded."""
    action = the_one(one(stage, *jobs, **more))
    assert isinstance(action, RecordResult)
    return action.result.termination


def verdict(stage: StageView, **more: Any) -> Any:
    action = the_one(one(stage, **more))
    assert isinstance(action, Finish)
    return action.verdict


# --- from nothing to a job ------------------------------------------------------------------------------------------
def test_a_ready_stage_gets_an_intent_first() -> None:
    action = the_one(one(view("a")))
    assert isinstance(action, WriteIntent)
    assert (action.intent.attempt, action.intent.job) == (0, "demo-a-a0")


def test_an_intent_without_a_job_gets_its_job() -> None:
    assert one(view("a", None)) == [CreateJob(intent("a"))]


@pytest.mark.parametrize("phase", ["pending", "running"])
def test_a_job_at_work_is_left_alone(phase: str) -> None:
    assert one(view("a", None), job("a", 0, phase)) == []


def test_a_stage_without_its_inputs_waits() -> None:
    seen = observed({"a": view("a", None), "b": StageView()}, job("a", 0, "running"))
    assert decide(TWO, seen) == []


def test_the_next_stage_starts_once_its_input_is_committed() -> None:
    action = the_one(decide(TWO, observed({"a": DONE, "b": view("b")})))
    assert isinstance(action, WriteIntent)
    assert action.intent.plan.stage == "b"


def test_no_more_stages_than_parallel_stages_start() -> None:
    actions = decide(FORK, observed({name: view(name) for name in "abc"}))
    assert [action.intent.plan.stage for action in actions if isinstance(action, WriteIntent)] == ["a", "b"]
    seen = observed({"a": view("a", None), "b": view("b"), "c": view("c")}, job("a", 0, "running"))
    assert len(decide(FORK, seen)) == 1


def test_an_agent_that_has_committed_holds_no_slot() -> None:
    closing = view("a", None, committed=True)
    actions = decide(TWO, observed({"a": closing, "b": view("b")}, job("a", 0, "running")))
    assert isinstance(the_one(actions), WriteIntent)


# --- the end of an attempt ------------------------------------------------------------------------------------------
def test_an_end_is_recorded_before_anything_else() -> None:
    assert recorded(view("a", None), job("a", 0, "ended", "user", message="boom")).message == "boom"


def test_commit_has_the_last_word() -> None:
    assert recorded(view("a", None, committed=True), job("a", 0, "ended", "infrastructure")).failure == "committed"


def test_committed_without_commit_is_infrastructure() -> None:
    action = the_one(one(view("a", None), job("a", 0, "ended", "committed")))
    assert action.result.termination.failure == "infrastructure"
    assert action.result.facts == {NO_COMMIT: True}


def test_committed_elsewhere_while_no_job_was_made() -> None:
    assert recorded(view("a", None, committed=True)).failure == "committed"


def test_an_agent_may_end_by_itself_after_its_commit() -> None:
    stage = view("a", None, committed=True, committed_for_s=LEAVE_S - 1)
    assert one(stage, job("a", 0, "running")) == []


def test_an_agent_that_does_not_end_after_its_commit_is_deleted_once() -> None:
    stage = view("a", None, committed=True, committed_for_s=LEAVE_S + 1)
    assert isinstance(the_one(one(stage, job("a", 0, "running"))), DeleteJob)
    assert one(stage, job("a", 0, "running"), asked={"demo-a-a0": False}) == []


def test_a_job_that_will_never_start_ends_its_attempt() -> None:
    said = Termination(failure="image", code=10, message="sftjobs/train:2: not found")
    stuck = replace(job("a", 0, "pending"), hopeless=said)
    assert recorded(view("a", None), stuck) == said
    assert recorded(view("a", None), stuck, halt="cancelled") == said
    assert verdict(view("a", result(0, "image", message=said.message))).failure == "image", "never tried again"


def test_a_node_whose_clock_is_ahead_does_not_delay_the_next_attempt() -> None:
    ended = replace(job("a", 0, "ended", "infrastructure"), finished=NOW + 3600)
    action = the_one(one(view("a", None), ended))
    assert action.result.finished == NOW
    earlier = replace(ended, finished=NOW - 60)
    assert the_one(one(view("a", None), earlier)).result.finished == NOW - 60


def test_a_job_that_will_never_end_is_recorded_and_deleted() -> None:
    said = Termination(failure="infrastructure", code=21, message="node gpu-7 does not answer")
    stuck = replace(job("a", 0, "running"), hopeless=said)
    assert recorded(view("a", None), stuck) == said
    assert isinstance(the_one(one(view("a", "infrastructure"), stuck)), DeleteJob)


def test_a_stage_that_somebody_else_has_committed_needs_no_job_that_starts() -> None:
    stuck = replace(job("a", 0, "pending"), hopeless=Termination(failure="image", code=10))
    assert one(view("a", None, committed=True), stuck) == []
    action = the_one(one(view("a", None, committed=True, committed_for_s=LEAVE_S + 1), stuck))
    assert isinstance(action, DeleteJob)


def test_the_job_of_a_closed_attempt_is_deleted_before_anything_else() -> None:
    stage, leftover = view("a", "infrastructure"), job("a", 0, "pending")
    later = {"now": NOW + 1e6}
    action = the_one(one(stage, leftover, **later))
    assert isinstance(action, DeleteJob)
    assert (action.job, action.force) == ("demo-a-a0", False)
    assert one(stage, leftover, asked={"demo-a-a0": False}, **later) == [], "asked once, then waited for"
    assert isinstance(the_one(one(stage, job("a", 0, "ended", "user"), **later)), WriteIntent), "it has ended"
    assert isinstance(the_one(one(stage, **later)), WriteIntent), "it is gone"


def test_the_run_ends_when_its_last_job_has_ended() -> None:
    """A verdict while a pod still works would let two runs work on one stage."""
    for stage in (view("a", "image"), view("a", "committed", committed=True)):
        assert [type(action) for action in one(stage, job("a", 0, "running"))] == [DeleteJob]
        assert one(stage, job("a", 0, "running"), asked={"demo-a-a0": False}) == []
        assert isinstance(the_one(one(stage)), Finish)


# --- another attempt, or not ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("failure", ["config", "checkpoint"])
def test_what_would_fail_again_is_not_tried_again(failure: Any) -> None:
    ended = verdict(view("a", result(0, failure, message="labels: 'x' is unknown")))
    assert (ended.outcome, ended.stage, ended.failure) == ("failed", "a", failure)
    assert "labels: 'x' is unknown" in ended.message


@pytest.mark.parametrize("failure", ["stopped", "busy", "cancelled"])
def test_what_is_nobodys_fault_is_tried_again_at_once(failure: Any) -> None:
    action = the_one(one(view("a", failure)))
    assert isinstance(action, WriteIntent)
    assert action.intent.attempt == 1


def test_endless_free_endings_are_slowed_down() -> None:
    stage = view("a", "stopped", "stopped", "stopped")
    assert one(stage, now=NOW + 15.9) == []
    assert isinstance(the_one(one(stage, now=NOW + 16.0)), WriteIntent)


@pytest.mark.parametrize(
    ("failure", "budget"), [("infrastructure", 10), ("hang", 3), ("out_of_memory", 1), ("user", 0)]
)
def test_budgets_of_each_class(failure: Any, budget: int) -> None:
    within = view("a", *[failure] * budget) if budget else view("a")
    assert isinstance(the_one(one(within, now=NOW + 1e6)), WriteIntent)
    over = view("a", *[failure] * (budget + 1))
    assert verdict(over, now=NOW + 1e6).failure == failure


def test_budgets_of_classes_are_apart() -> None:
    stage = view("a", "hang", "infrastructure", "out_of_memory", "hang", "hang")
    assert isinstance(the_one(one(stage, now=NOW + 1e6)), WriteIntent)


@pytest.mark.parametrize(("failures", "wait"), [(1, 8.0), (2, 16.0), (3, 32.0), (9, 300.0)])
def test_backoff_doubles_up_to_five_minutes(failures: int, wait: float) -> None:
    stage = view("a", *["infrastructure"] * failures)
    assert one(stage, now=NOW + wait - 0.1) == []
    assert isinstance(the_one(one(stage, now=NOW + wait)), WriteIntent)
    assert places_of(ONE, observed({"a": stage}))["a"].until == NOW + wait


def test_no_commit_is_tried_again_once() -> None:
    lost = [result(n, "infrastructure", facts={NO_COMMIT: True}) for n in range(2)]
    assert isinstance(the_one(one(view("a", lost[0]), now=NOW + 1e6)), WriteIntent)
    assert "is the store the same" in verdict(view("a", *lost), now=NOW + 1e6).message


def test_no_progress_ends_the_run() -> None:
    stuck = [result(n, "infrastructure", checkpoint=40, step=57, message="NCCL error") for n in range(2)]
    ended = verdict(view("a", *stuck), now=NOW + 1e6)
    assert "no progress" in ended.message
    assert "step 40" in ended.message


@pytest.mark.parametrize("second", [{"checkpoint": 50, "step": 57}, {"checkpoint": 40, "step": 58}, {}])
def test_progress_goes_on(second: dict[str, int]) -> None:
    stage = view("a", result(0, "hang", checkpoint=40, step=57), result(1, "hang", **second))
    assert isinstance(the_one(one(stage, now=NOW + 1e6)), WriteIntent)


def test_a_free_ending_in_between_does_not_hide_that_nothing_moves() -> None:
    stuck = {"checkpoint": 40, "step": 57}
    stage = view("a", result(0, "hang", **stuck), result(1, "stopped"), result(2, "hang", **stuck))
    assert "no progress" in verdict(stage, now=NOW + 1e6).message


def test_a_new_session_forgives_the_failures_before_it() -> None:
    stage = view("a", "user")
    action = the_one(one(stage, session=Session(number=1, begun=NOW, attempts={"a": 1})))
    assert isinstance(action, WriteIntent)
    assert action.intent.attempt == 1


@pytest.mark.parametrize(("ended", "kind"), [(NOW + 1, "ready"), (NOW + 6, "failed")])
def test_an_attempt_counts_in_the_session_in_which_it_ended(ended: float, kind: str) -> None:
    """Open in the store when the session began, which was read-only: what ended before the request is forgiven."""
    stage = view("a", result(0, "config", finished=ended))
    seen = observed({"a": stage}, session=Session(number=1, begun=NOW + 5), now=NOW + 1e6)
    assert places_of(ONE, seen)["a"].kind == kind


# --- others at work -------------------------------------------------------------------------------------------------
def test_a_held_lease_is_waited_for_without_a_job() -> None:
    stage = view("a", busy="agent of train, attempt 0 (pid 7 on gpu3)")
    assert one(stage) == []
    assert "gpu3" in places_of(ONE, observed({"a": stage}))["a"].message


# --- the end of a run -----------------------------------------------------------------------------------------------
def test_all_committed_is_success() -> None:
    ended = verdict(DONE)
    assert (ended.outcome, ended.exit_code) == ("succeeded", 0)


def test_independent_branches_are_finished_before_the_run_fails() -> None:
    stages = {"a": view("a", "user"), "b": view("b"), "c": view("c")}
    assert [type(action) for action in decide(FORK, observed(stages))] == [WriteIntent, WriteIntent]
    done = {"b": view("b", committed=True), "c": view("c", committed=True)}
    ended = the_one(decide(FORK, observed({**stages, **done}))).verdict
    assert (ended.outcome, ended.stage, ended.exit_code) == ("failed", "a", 3)


def test_what_needs_a_failed_stage_is_not_waited_for() -> None:
    ended = the_one(decide(TWO, observed({"a": view("a", "config"), "b": StageView()}))).verdict
    assert (ended.stage, ended.exit_code) == ("a", 10)


def test_a_stage_that_cannot_be_finished_fails_without_an_attempt() -> None:
    refused = StageView(refusal=Refusal("config", "no training examples are left"))
    ended = verdict(refused)
    assert (ended.failure, ended.message) == ("config", "no training examples are left")


# --- cancel and stop ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("halt", ["cancelled", "stopped"])
def test_halting_asks_each_job_once_and_starts_nothing(halt: Any) -> None:
    running = job("a", 0, "running")
    action = the_one(one(view("a", None), running, halt=halt))
    assert isinstance(action, DeleteJob)
    assert not action.force
    assert one(view("a", None), running, halt=halt, asked={"demo-a-a0": False}) == []
    assert verdict(view("a"), halt=halt).outcome == halt


def test_force_is_added_to_a_request() -> None:
    action = the_one(
        one(view("a", None), job("a", 0, "running"), halt="stopped", force=True, asked={"demo-a-a0": False})
    )
    assert action.force
    assert one(view("a", None), job("a", 0, "running"), halt="stopped", force=True, asked={"demo-a-a0": True}) == []


@pytest.mark.parametrize("halt", ["cancelled", "stopped"])
@pytest.mark.parametrize("said", ["stopped", "infrastructure"])
def test_an_attempt_that_was_halted_is_recorded_so(halt: Any, said: Any) -> None:
    assert recorded(view("a", None), job("a", 0, "ended", said), halt=halt).failure == halt


def test_a_mistake_found_while_halting_is_recorded_as_what_it_is() -> None:
    assert recorded(view("a", None), job("a", 0, "ended", "config"), halt="cancelled").failure == "config"


@pytest.mark.parametrize("halt", ["cancelled", "stopped"])
def test_a_halted_intent_never_gets_its_job(halt: Any) -> None:
    assert recorded(view("a", None), halt=halt).failure == halt


OVER = {"halt": "budget", "halt_reason": "2.00 GPU hours are used, gpu_hours of cluster.yaml is 1"}


def test_a_run_over_its_budget_saves_and_stops() -> None:
    action = the_one(one(view("a", None), job("a", 0, "running"), **OVER))
    assert isinstance(action, DeleteJob)
    assert (action.force, action.reason) == (False, OVER["halt_reason"])
    assert recorded(view("a", None), job("a", 0, "ended", "stopped"), **OVER).failure == "budget"
    assert recorded(view("a", None), **OVER).failure == "budget", "an intent gets no Job any more"
    times = {"created": NOW - 90, "started": NOW - 60}
    gone = the_one(one(view("a", None), begun={("a", 0): NOW - 60}, times={("a", 0): times}, **OVER))
    assert gone.result.started == NOW - 60, "its hours count, though its Job is gone"
    assert gone.result.facts == {"times": times}
    assert recorded(view("a", None, committed=True), job("a", 0, "ended", "stopped"), **OVER).failure == "committed"


def test_a_run_over_its_budget_has_failed_until_somebody_asks_again() -> None:
    ended = verdict(view("a", "budget"), **OVER)
    assert (ended.outcome, ended.failure, ended.message) == ("failed", "budget", OVER["halt_reason"])
    assert ended.exit_code == 3
    again = the_one(one(view("a", "budget"), session=Session(number=1, begun=NOW, attempts={"a": 1})))
    assert isinstance(again, WriteIntent)


@pytest.mark.parametrize(("ceiling", "over"), [(None, False), (7.9, True), (8.0, True), (8.1, False)])
def test_gpu_hours_are_those_of_all_attempts(ceiling: float | None, over: bool) -> None:
    """2 nodes of 2 GPUs: one hour in an attempt that has ended, one in the one at work, none while pending."""
    stage = view("a", replace_started(result(0, "hang", finished=NOW - 3600), NOW - 7200), None)
    large = Resources(nodes=2, gpus_per_node=2)
    plans = [attempt.intent.plan.model_copy(update={"resources": large}) for attempt in stage.attempts]
    intents = [a.intent.model_copy(update={"plan": p}) for a, p in zip(stage.attempts, plans, strict=True)]
    attempts_ = tuple(replace(a, intent=i) for a, i in zip(stage.attempts, intents, strict=True))
    found = over_budget({"a": replace(stage, attempts=attempts_)}, {("a", 1): NOW - 3600}, ceiling, NOW)
    assert bool(found) is over
    assert not found or found.startswith("8.00 GPU hours are used")
    assert not over_budget({"a": replace(stage, attempts=attempts_)}, {}, 4.1, NOW)


def replace_started(ended: Result, started: float) -> Result:
    return ended.model_copy(update={"started": started})


def test_a_halt_after_the_last_commit_changes_nothing() -> None:
    assert verdict(DONE, halt="cancelled").outcome == "succeeded"


def test_only_the_last_attempt_can_be_open() -> None:
    assert view("a", "hang", None).open == attempts("a", "hang", None)[1]
    assert view("a", "hang").open is None
