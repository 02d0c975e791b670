"""Run records, sessions, events, and where a run stands according to them."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact.lease import Lease
from sftjobs.attempts import Heartbeat
from sftjobs.canonical import readable, sha256
from sftjobs.cli.status_view import Look, StatusView
from sftjobs.controller.status import STALLED_AFTER_S, RunState, StageState, run_state
from sftjobs.errors import AlreadyExistsError, DataError, NotFoundError
from sftjobs.plan.types import Commit, Manifest, RunPlan, StagePlan
from sftjobs.runs import (
    Owner,
    Verdict,
    add_event,
    begin_session,
    create_run,
    current_session,
    find_run,
    is_cancelled,
    last_event,
    list_runs,
    read_attempts,
    read_events,
    read_owner,
    read_plan,
    read_spec_text,
    read_verdict,
    request_cancel,
    write_intent,
    write_result,
    write_verdict,
)
from sftjobs.store.folder import FolderStore
from tests.support.chains import NOW, chain_plan, finish_chain, intent, result

PLAN = chain_plan({"a": [], "b": ["a"]})
OWNER = Owner(user="ann", host="box", backend="process", run="demo", created=100.0)
TEXT = b"name: demo\n"


@pytest.fixture
def store() -> Iterator[FolderStore]:
    """In memory where there is such a folder: fsync costs nothing there."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="sftjobs-runs-", dir=shm if shm.is_dir() else None) as folder:
        yield FolderStore(Path(folder))


def add_run(store: FolderStore, name: str = "demo", created: float = 100.0, **configs: str) -> str:
    plan = chain_plan({"a": [], "b": ["a"]}, name=name, configs={"a": dict(configs)})
    return create_run(store, plan, TEXT, OWNER.model_copy(update={"run": name, "created": created}))


# --- records --------------------------------------------------------------------------------------------------------
def test_a_run_is_read_as_it_was_recorded(store: FolderStore) -> None:
    run_id = create_run(store, PLAN, TEXT, OWNER)
    assert run_id.startswith("demo-")
    assert len(run_id) == len("demo-") + 10
    assert (read_plan(store, run_id), read_owner(store, run_id)) == (PLAN, OWNER)
    assert read_spec_text(store, run_id) == TEXT


def test_the_same_request_is_the_same_run(store: FolderStore) -> None:
    first = create_run(store, PLAN, TEXT, OWNER)
    later = OWNER.model_copy(update={"created": 200.0, "spec_path": "/elsewhere/run.yaml"})
    assert create_run(store, PLAN, b"name: demo # a comment\n", later) == first
    assert read_owner(store, first).created == 100.0, "the first request stays"
    assert read_spec_text(store, first) == TEXT


@pytest.mark.parametrize("change", [{"user": "bob"}, {"host": "other"}, {"backend": "kubernetes"}])
def test_another_owner_is_another_run(store: FolderStore, change: dict[str, str]) -> None:
    assert create_run(store, PLAN, TEXT, OWNER) != create_run(store, PLAN, TEXT, OWNER.model_copy(update=change))


def test_runs_are_listed_by_age_and_found_by_name(store: FolderStore) -> None:
    new = add_run(store, created=200.0, text="changed")
    old = add_run(store, created=100.0)
    other = add_run(store, name="intent-v3", created=150.0)
    assert [record.run_id for record in list_runs(store)] == [old, other, new]
    assert find_run(store, "demo") == new
    assert find_run(store, old) == old


def test_a_run_that_was_not_recorded_whole_does_not_exist(store: FolderStore) -> None:
    run_id = add_run(store)
    store.delete(names.run_prefix(run_id) + names.OWNER)
    assert list_runs(store) == []
    assert add_run(store) == run_id, "asking again completes it"
    assert len(list_runs(store)) == 1


def test_an_unknown_run_is_answered_with_the_known_ones(store: FolderStore) -> None:
    with pytest.raises(DataError, match=r"there is no run in .* yet; start one with `sftjobs run`"):
        find_run(store, "demo")
    run_id = add_run(store, name="intent-v3")
    with pytest.raises(DataError, match=f"no run 'intnet-v3' .*did you mean 'intent-v3'.*{run_id}"):
        find_run(store, "intnet-v3")


# --- attempts -------------------------------------------------------------------------------------------------------
def test_attempts_are_read_in_order(store: FolderStore) -> None:
    for number in range(11):
        write_intent(store, intent("a", number).model_copy(update={"run_id": "r"}))
        write_result(store, "r", "a", result(number, "hang"))
    write_intent(store, intent("a", 11).model_copy(update={"run_id": "r"}))
    found = read_attempts(store, "r")["a"]
    assert [attempt.number for attempt in found] == list(range(12))
    assert found[-1].result is None
    assert all(attempt.result is not None for attempt in found[:-1])


def test_records_of_attempts_are_written_once(store: FolderStore) -> None:
    write_intent(store, intent("a"))
    write_intent(store, intent("a"))
    with pytest.raises(AlreadyExistsError):
        write_intent(store, intent("a").model_copy(update={"created": NOW + 1}))


# --- sessions -------------------------------------------------------------------------------------------------------
def test_a_session_goes_on_until_its_verdict(store: FolderStore) -> None:
    first = begin_session(store, "r", {}, [], NOW)
    assert begin_session(store, "r", {"a": 3}, ["a"], NOW + 1) == first
    write_verdict(store, "r", 0, Verdict(outcome="failed", stage="a", failure="user", finished=NOW))
    second = begin_session(store, "r", {"a": 3}, ["b"], NOW + 2)
    assert (second.number, second.attempts, second.committed) == (1, {"a": 3}, ["b"])
    assert current_session(store, "r") == second


def test_another_request_begins_another_session_even_without_a_verdict(store: FolderStore) -> None:
    """Its controller could not write one, because the store was read-only; failures up to now are not charged."""
    first = begin_session(store, "r", {}, [], NOW, "install/0")
    assert begin_session(store, "r", {"a": 1}, [], NOW + 1, "install/0") == first, "started again by a machine"
    assert begin_session(store, "r", {"a": 1}, [], NOW + 1) == first, "gone on with from somewhere else"
    second = begin_session(store, "r", {"a": 1}, [], NOW + 2, "install/1")
    assert (second.number, second.attempts) == (1, {"a": 1})


def test_the_first_verdict_stands(store: FolderStore) -> None:
    first = Verdict(outcome="succeeded", finished=NOW)
    write_verdict(store, "r", 0, first)
    assert write_verdict(store, "r", 0, Verdict(outcome="cancelled", finished=NOW)) == first
    assert read_verdict(store, "r", 0) == first


def test_cancel_holds_for_one_session(store: FolderStore) -> None:
    begin_session(store, "r", {}, [], NOW)
    assert not is_cancelled(store, "r", 0)
    assert request_cancel(store, "r")
    assert request_cancel(store, "r"), "asking twice is asking once"
    assert is_cancelled(store, "r", 0)
    write_verdict(store, "r", 0, Verdict(outcome="cancelled", finished=NOW))
    assert not request_cancel(store, "r"), "there is nothing left to cancel"
    assert not is_cancelled(store, "r", begin_session(store, "r", {}, [], NOW).number)


def test_a_run_can_be_cancelled_before_it_begins(store: FolderStore) -> None:
    assert request_cancel(store, "r")
    assert current_session(store, "r") is None
    assert is_cancelled(store, "r", begin_session(store, "r", {}, [], NOW).number)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict(outcome="succeeded", finished=NOW), 0),
        (Verdict(outcome="failed", failure="config", finished=NOW), 10),
        (Verdict(outcome="failed", failure="hang", finished=NOW), 3),
        (Verdict(outcome="cancelled", finished=NOW), 3),
        (Verdict(outcome="stopped", finished=NOW), 20),
        (Verdict(outcome="left", finished=NOW), 20),
    ],
)
def test_exit_codes(verdict: Verdict, code: int) -> None:
    assert verdict.exit_code == code


# --- events ---------------------------------------------------------------------------------------------------------
def test_events_are_in_order_of_time(store: FolderStore) -> None:
    for number in range(3):
        add_event(store, "r", "webhook-failed", message=str(number))
    found = read_events(store, "r")
    assert [event.fields["message"] for _, event in found] == ["0", "1", "2"]
    assert [event.t for _, event in found] == sorted(event.t for _, event in found)
    assert read_events(store, "r", after=found[1][0]) == found[2:]


def test_an_event_has_the_fields_of_its_kind(store: FolderStore) -> None:
    with pytest.raises(AssertionError, match="an event webhook-failed has"):
        add_event(store, "r", "webhook-failed", text="?")


# --- status ---------------------------------------------------------------------------------------------------------
def state(store: FolderStore, run_id: str, now: float = NOW) -> RunState:
    return run_state(store, run_id, finish=finish_chain, now=now)


def stage(store: FolderStore, run_id: str, name: str = "a", now: float = NOW) -> StageState:
    return next(item for item in state(store, run_id, now).stages if item.name == name)


def first_stage(plan: RunPlan) -> StagePlan:
    return finish_chain(plan, "a", {})


def open_attempt(store: FolderStore, run_id: str) -> None:
    asked = intent("a").model_copy(update={"run_id": run_id, "plan": first_stage(read_plan(store, run_id))})
    write_intent(store, asked)


def commit(store: FolderStore, plan: StagePlan) -> None:
    manifest = Manifest(
        kind="data", key=plan.key, incarnation=1, digest="d", content=[], info=[], inputs={}, versions={}, counts={}
    )
    body = readable(manifest.model_dump(mode="json"))
    store.create(names.incarnation_prefix("data", plan.key, 1) + names.MANIFEST, body)
    done = Commit(incarnation=1, manifest_sha256=sha256(body), nonce="12345678")
    store.create(names.stage_prefix("data", plan.key) + names.COMMIT, readable(done.model_dump(mode="json")))


def test_status_of_an_unknown_run(store: FolderStore) -> None:
    with pytest.raises(NotFoundError):
        state(store, "demo-none")


def test_status_before_the_first_session(store: FolderStore) -> None:
    found = state(store, add_run(store))
    assert (found.state, found.name, found.controller) == ("pending", "demo", None)
    assert [(item.name, item.state) for item in found.stages] == [("a", "pending"), ("b", "pending")]
    assert found.stages[1].key is None, "its key is known after stage a"


def test_status_while_a_controller_works(store: FolderStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    found = state(store, run_id)
    assert found.state == "interrupted"
    StatusView("text", watch=False).show(Look(found))
    (way_on,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("run ")]
    assert way_on.endswith(f"interrupted; its controller is gone, `sftjobs resume {run_id}` goes on with it")
    with Lease(store, names.run_lease(run_id), what="controller"):
        found = state(store, run_id)
    assert found.state == "running"
    assert found.controller is not None
    assert "pid " in found.controller


def test_status_of_a_running_stage(store: FolderStore) -> None:
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    open_attempt(store, run_id)
    assert (stage(store, run_id).state, stage(store, run_id).message) == ("running", "starting")
    beat = Heartbeat(t=NOW, state="running", step=3, total=10)
    store.put(names.heartbeat(run_id, "a", 0, 0), readable(beat.model_dump(mode="json")))
    assert stage(store, run_id).heartbeat == beat
    silent = stage(store, run_id, now=NOW + STALLED_AFTER_S + 1)
    assert (silent.state, silent.message) == ("stalled", "no heartbeat for 61 s")


def test_status_of_a_stage_whose_pods_do_not_start(store: FolderStore) -> None:
    """In a cluster: from the store alone, however long it lasts."""
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    open_attempt(store, run_id)
    for attempt, reason in ((0, "no node has room"), (0, "Insufficient nvidia.com/gpu"), (1, "of another attempt")):
        add_event(store, run_id, names.EVENT_WAITING, stage="a", attempt=attempt, reason=reason)
    found = stage(store, run_id, now=NOW + 3600)
    assert (found.state, found.message) == ("waiting", "Insufficient nvidia.com/gpu")
    later = time.time() + 1
    beat = Heartbeat(t=later, state="running", step=3)
    store.put(names.heartbeat(run_id, "a", 0, 0), readable(beat.model_dump(mode="json")))
    assert stage(store, run_id, now=later + 1).state == "running"
    assert stage(store, run_id, now=later + STALLED_AFTER_S + 1).state == "stalled"
    beat = beat.model_copy(update={"t": later - 60})
    store.put(names.heartbeat(run_id, "a", 0, 0), readable(beat.model_dump(mode="json")))
    assert stage(store, run_id, now=later).state == "waiting", "it ran, and its pods were taken away again"


def test_the_last_event_of_a_kind(store: FolderStore) -> None:
    for number in range(3):
        add_event(store, "r", names.EVENT_WAITING, stage="a", attempt=number % 2, reason=str(number))
    add_event(store, "r", "webhook-failed", message="?")
    found = last_event(store, "r", names.EVENT_WAITING, stage="a", attempt=0)
    assert found is not None and found.fields["reason"] == "2"
    assert last_event(store, "r", names.EVENT_WAITING, stage="b", attempt=0) is None


def test_status_after_a_failure(store: FolderStore) -> None:
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    open_attempt(store, run_id)
    write_result(store, run_id, "a", result(0, "hang", message="no progress for 900 s"))
    assert stage(store, run_id).state == "pending"
    assert "no progress for 900 s" in stage(store, run_id).message
    open_attempt_again = intent("a", 1).model_copy(update={"run_id": run_id})
    write_intent(store, open_attempt_again)
    write_result(store, run_id, "a", result(1, "config", message="no label"))
    verdict = Verdict(outcome="failed", stage="a", failure="config", message="no label", finished=NOW)
    write_verdict(store, run_id, 0, verdict)
    found = state(store, run_id)
    assert (found.state, found.verdict) == ("failed", verdict)
    assert (found.stages[0].state, found.stages[0].message) == ("failed", "no label")
    assert found.stages[0].attempts == 2


def test_status_of_a_second_attempt_counts_from_its_own_start(
    store: FolderStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    open_attempt(store, run_id)
    write_result(store, run_id, "a", result(0, "infrastructure", message="killed"))
    again = intent("a", 1).model_copy(update={"run_id": run_id, "created": NOW + 300})
    write_intent(store, again)
    beat = Heartbeat(t=NOW + 315, state="running", phase="loading")
    store.put(names.heartbeat(run_id, "a", 1, 0), readable(beat.model_dump(mode="json")))
    monkeypatch.setattr(time, "time", lambda: NOW + 320)
    StatusView("text", watch=False).show(Look(state(store, run_id, now=NOW + 320)))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("a ")]
    assert line.split("  ")[-1].strip() == "loading, for 20 s"
    assert "5 min 20 s" in line, "of the stage"


def test_status_of_a_cancelled_run(store: FolderStore) -> None:
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    write_verdict(store, run_id, 0, Verdict(outcome="cancelled", finished=NOW))
    assert [item.state for item in state(store, run_id).stages] == ["cancelled", "cancelled"]


def test_status_tells_a_cache_hit_from_own_work(store: FolderStore) -> None:
    run_id = add_run(store)
    commit(store, first_stage(read_plan(store, run_id)))
    begin_session(store, run_id, {}, ["a"], NOW)
    assert (stage(store, run_id).state, stage(store, run_id).message) == ("skipped", "cached")
    own = add_run(store, text="own")
    begin_session(store, own, {}, [], NOW)
    open_attempt(store, own)
    commit(store, first_stage(read_plan(store, own)))
    write_result(store, own, "a", result(0, "committed", finished=NOW + 5))
    found = stage(store, own)
    assert (found.state, found.started, found.finished) == ("succeeded", NOW, NOW + 5)


def test_the_time_of_a_stage_that_was_committed_without_a_controller_ends_with_its_last_heartbeat(
    store: FolderStore,
) -> None:
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    open_attempt(store, run_id)
    beat = Heartbeat(t=NOW + 40, state="done")
    store.put(names.heartbeat(run_id, "a", 0, 0), readable(beat.model_dump(mode="json")))
    assert stage(store, run_id, now=NOW + 50).finished is None
    commit(store, first_stage(read_plan(store, run_id)))
    found = stage(store, run_id, now=NOW + 3600)
    assert (found.state, found.started, found.finished) == ("succeeded", NOW, NOW + 40)


def test_status_of_a_stage_that_somebody_else_works_on(store: FolderStore) -> None:
    run_id = add_run(store)
    begin_session(store, run_id, {}, [], NOW)
    key = names.stage_prefix("data", first_stage(read_plan(store, run_id)).key) + names.LEASE
    with Lease(store, key, what="agent of a, attempt 0"):
        found = stage(store, run_id)
    assert found.state == "waiting"
    assert "agent of a, attempt 0" in found.message


@pytest.mark.parametrize("name", ["", "../x", "a//b", "/etc", "x\\y"])
def test_what_cannot_name_a_run_is_not_found(store: FolderStore, name: str) -> None:
    add_run(store)
    with pytest.raises(DataError, match="no run "):
        find_run(store, name)
