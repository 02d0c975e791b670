"""A release as its controller sees it, and its run from plan to verdict: a scripted API server, a real store.

No Job of these tests ever works: what the real cluster does with them is tested in tests/cluster.
"""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names, runs
from sftjobs.attempts import Intent, Termination
from sftjobs.backend.base import BackendError, ReleaseGoneError
from sftjobs.backend.kubernetes import KubernetesBackend
from sftjobs.canonical import sha256
from sftjobs.controller.loop import Controls, OnTrouble
from sftjobs.controller.observe import Observer
from sftjobs.controller.stage_reader import StageReader
from sftjobs.controller.status import run_state
from sftjobs.errors import DataError
from sftjobs.kube.api import ApiError, Object
from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.release import release as module
from sftjobs.release import waiting
from sftjobs.release.chain import ReleaseRun, request_of, run_release
from sftjobs.release.owner import namespace_of, owner_of
from sftjobs.release.release import Release, read_release
from sftjobs.runs import Session, Verdict, create_run, write_ending
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.scripted_api import Answer, Request, ScriptedApi, Stream, answer, event, listing, status
from tests.support.specs import make_facts, make_spec

RUN_YAML = "name: demo\n"
JOB = "demo-data-a0"


def anchor(uid: str = "u1", text: str = RUN_YAML) -> Object:
    return {"metadata": {"name": "demo-anchor", "uid": uid,
                         "annotations": {names.ANNOTATION_RUN_HASH: sha256(text.encode())}}}  # fmt: skip


def config(text: str = RUN_YAML, **cluster: Any) -> Object:
    return {"metadata": {"name": "demo-run"}, "data": {names.RUN_YAML: text, names.CLUSTER_KEY: json.dumps(cluster)}}


@pytest.fixture
def server() -> Iterator[ScriptedApi]:
    with ScriptedApi() as found:
        found.quiet("jobs", "pods")
        found.script("GET events", listing("1"))
        found.script("GET configmaps/demo-anchor", answer(anchor()))
        found.script("GET configmaps/demo-run", answer(config()))
        yield found


# --- what was installed -----------------------------------------------------------------------------------------------
def test_a_release(server: ScriptedApi) -> None:
    server.script("GET configmaps/demo-run", answer(config(queue="team-a", gpu_hours=4)))
    found = read_release(server.api(), "demo")
    assert (found.run_text, found.cluster.queue, found.cluster.gpu_hours) == (RUN_YAML.encode(), "team-a", 4)
    assert (found.owner.name, found.owner.uid) == ("demo-anchor", "u1")


def test_another_run_yaml_is_refused(server: ScriptedApi) -> None:
    """As after an `helm upgrade --force`, or an edit by hand."""
    server.script("GET configmaps/demo-run", answer(config("name: other\n")))
    with pytest.raises(DataError, match="a release is one run: install the other under another name"):
        read_release(server.api(), "demo")


def test_what_is_no_release(server: ScriptedApi) -> None:
    server.script("GET configmaps/demo-anchor", status(404, "NotFound", "none"))
    with pytest.raises(DataError, match="namespace team has no ConfigMap demo-anchor: install it with the chart"):
        read_release(server.api(), "demo")
    server.script("GET configmaps/demo-anchor", status(403, "Forbidden", "may not"))
    with pytest.raises(ApiError, match="may not"):
        read_release(server.api(), "demo")


def test_a_chart_of_another_version(server: ScriptedApi) -> None:
    server.script("GET configmaps/demo-run", answer(config(quue="team-a")))
    with pytest.raises(DataError, match=r"cluster\.yaml: quue: .*; chart and image must be of one version"):
        read_release(server.api(), "demo")


def test_cluster_yaml_is_read_again_now_and_then(server: ScriptedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLUSTER_EVERY_S", 0.1)
    found = read_release(server.api(), "demo")
    server.script("GET configmaps/demo-run", answer(config(gpu_hours=7)), status(503, "Unavailable", "starting"))
    found.look_now_and_then()
    assert found.cluster.gpu_hours is None, "not yet"
    time.sleep(0.11)
    found.look_now_and_then()
    assert found.cluster.gpu_hours == 7
    with pytest.raises(BackendError, match="starting"):
        found.latest()
    time.sleep(0.11)
    server.script("GET configmaps/demo-anchor", answer(anchor("u2")))
    with pytest.raises(ReleaseGoneError):
        found.look_now_and_then()


# --- its run ----------------------------------------------------------------------------------------------------------
class World:
    """The run of the release in a folder store. Each `controller` is a new process in all but name."""

    def __init__(self, folder: Path, server: ScriptedApi) -> None:
        self.server = server
        self.store: Store = open_store("store", folder)
        resources = {"data": {"gpus_per_node": 1}}
        self.plan: RunPlan = make(make_spec(resources=resources), make_facts())
        self.run_id = create_run(self.store, self.plan, RUN_YAML.encode(), owner_of("demo", "team"))

    def controller(
        self, again: str = "", controls: Controls | None = None, on_trouble: OnTrouble = lambda _: None
    ) -> Verdict:
        release = read_release(self.server.api(), "demo")
        run = ReleaseRun(release, self.store, StoreSpec(uri="s3://b/x"), self.plan, self.run_id)
        return run_release(
            run,
            controls=controls or Controls(),
            request=request_of(release, again),
            on_tick=lambda _: None,
            on_trouble=on_trouble,
        )

    def created(self) -> list[str]:
        return [request.body["metadata"]["name"] for request in self.server.asked("POST jobs") if request.body]

    def kinds(self) -> list[str]:
        return [item.kind for _, item in runs.read_events(self.store, self.run_id)]


@pytest.fixture
def world(server: ScriptedApi, tmp_path: Path) -> World:
    return World(tmp_path, server)


REFUSED = status(422, "Invalid", "spec.template.spec.tolerations[0].key: Invalid value")


def test_a_job_that_the_cluster_refuses_is_a_mistake_of_somebody(world: World) -> None:
    world.server.script("POST jobs", REFUSED)
    verdict = world.controller()
    assert (verdict.outcome, verdict.stage, verdict.failure, verdict.exit_code) == ("failed", "data", "config", 10)
    assert "tolerations[0].key" in verdict.message
    assert world.created() == [JOB]


def test_a_controller_that_is_started_again_says_the_same(world: World) -> None:
    """Its Job does so after a node was lost between the verdict and its exit."""
    world.server.script("POST jobs", REFUSED)
    first = world.controller()
    assert world.controller() == first
    assert world.created() == [JOB], "nothing is tried again by itself"


def test_again_is_another_request(world: World) -> None:
    world.server.script("POST jobs", REFUSED)
    world.controller()
    assert world.controller(again="1").message.count("tolerations") == 1
    assert world.created() == [JOB, "demo-data-a1"]
    assert world.controller(again="1") == world.controller(again="1")
    assert len(world.created()) == 2


def test_another_installation_is_another_request(world: World) -> None:
    world.server.script("POST jobs", REFUSED)
    world.controller()
    world.server.script("GET configmaps/demo-anchor", answer(anchor("u2")))
    world.controller()
    assert world.created() == [JOB, "demo-data-a1"]
    owners = [request.body["metadata"]["ownerReferences"][0]["uid"] for request in world.server.asked("POST jobs")
              if request.body]  # fmt: skip
    assert owners == ["u1", "u2"], "each Job goes with its installation"


def test_an_attempt_that_outlives_its_installation_counts_in_the_next_one(world: World) -> None:
    """Uninstalled in the middle of a stage, and installed again: it is that attempt that goes on, and no cache hit."""
    controls = Controls()
    world.server.script("POST jobs", lambda _: (controls.leave(), status(503, "Unavailable", "starting"))[1])
    world.controller(controls=controls)
    world.server.script("GET configmaps/demo-anchor", answer(anchor("u2")))
    world.server.script("POST jobs", REFUSED)
    assert world.controller().failure == "config"
    assert world.created() == [JOB, JOB], "a mistake is not tried again"
    session = runs.current_session(world.store, world.run_id)
    assert session is not None and (session.number, session.attempts["data"]) == (1, 0)


def test_an_uninstalled_release_makes_nothing(world: World) -> None:
    release = read_release(world.server.api(), "demo")
    world.server.script("GET configmaps/demo-anchor", answer(anchor()), status(404, "NotFound", "none"))
    with pytest.raises(ReleaseGoneError, match="was uninstalled"):
        world.controller()
    assert world.created() == []
    session = runs.current_session(world.store, world.run_id)
    assert session is not None and runs.read_verdict(world.store, world.run_id, session.number) is None
    assert release.anchor.uid == "u1"


def test_a_changed_cluster_yaml_is_for_later_jobs(world: World) -> None:
    world.server.script("GET configmaps/demo-run", answer(config()), answer(config(labels={"team": "nlp"})))
    world.server.script("POST jobs", REFUSED)
    world.controller()
    (asked,) = world.server.asked("POST jobs")
    assert asked.body is not None and asked.body["metadata"]["labels"]["team"] == "nlp"


def test_another_address_of_the_store_is_for_later_jobs(world: World) -> None:
    moved = config(store={"endpoint": "http://store.new:8333"})
    world.server.script("GET configmaps/demo-run", answer(config()), answer(moved))
    world.server.script("POST jobs", REFUSED)
    world.controller()
    (asked,) = world.server.asked("POST jobs")
    assert asked.body is not None
    environ = asked.body["spec"]["template"]["spec"]["containers"][0]["env"]
    (store,) = [json.loads(item["value"]) for item in environ if item["name"] == names.ENV_STORE]
    assert store == {"uri": "s3://b/x", "endpoint": "http://store.new:8333"}


def test_a_cluster_yaml_that_does_not_fit_ends_no_run(world: World) -> None:
    """An upgrade of the chart with the image of an older controller; the run waits for the next upgrade."""
    wrong, right = answer(config(quue="team-a")), answer(config(labels={"team": "nlp"}))
    world.server.script("GET configmaps/demo-run", answer(config()), wrong, right)
    world.server.script("POST jobs", REFUSED)
    troubles: list[str] = []
    world.controller(on_trouble=lambda trouble: troubles.append(trouble.message if trouble else ""))
    assert "cluster.yaml: quue:" in troubles[0] and "`helm upgrade`" in troubles[0]
    (asked,) = world.server.asked("POST jobs")
    assert asked.body is not None and asked.body["metadata"]["labels"]["team"] == "nlp"


def test_changed_patience_is_for_jobs_that_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was too short for a slow registry can be made longer while it is waited for, and the other way round."""
    monkeypatch.setattr(module, "CLUSTER_EVERY_S", 0.2)
    short, late = config(start_patience_s=60), stamp(7200)

    def made(request: Request) -> Answer:
        assert request.body is not None
        world.server.script("GET configmaps/demo-run", answer(short))
        metadata = {**request.body["metadata"], "resourceVersion": "7", "uid": "j", "creationTimestamp": late}
        return answer({**request.body, "metadata": metadata, "status": {"startTime": late}}, 201)

    controls = Controls()
    world.server.script("POST jobs", made)
    world.server.script(f"DELETE jobs/{JOB}", lambda _: (controls.leave(), answer({}))[1])
    assert world.controller(controls=controls).outcome == "left"
    (result,) = [attempt.result for attempt in runs.read_attempts(world.store, world.run_id)["data"]]
    assert result is not None and result.termination.failure == "infrastructure"


def test_status_says_why_the_cluster_takes_no_job_yet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no Job whose pods could be looked at: without a note the stage would seem to be starting."""
    monkeypatch.setattr(waiting, "SETTLED_S", 0.1)
    controls, asked = Controls(), []

    def full(request: Request) -> Answer:
        asked.append(request)
        if len(asked) == 3:
            controls.leave()
        return status(403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: team, used: count/jobs.batch=5')

    world.server.script("POST jobs", full)
    assert world.controller(controls=controls).outcome == "left"
    stage = run_state(world.store, world.run_id).stages[0]
    assert stage.state == "waiting"
    assert "does not take its job yet" in stage.message and "exceeded quota: team" in stage.message
    assert world.kinds().count(names.EVENT_WAITING) == 1


def test_leaving_touches_nothing(world: World) -> None:
    controls = Controls()

    def made(request: Request) -> Answer:
        assert request.body is not None
        controls.leave()
        metadata = {**request.body["metadata"], "resourceVersion": "7", "uid": "j", "creationTimestamp": stamp(0)}
        return answer({**request.body, "metadata": metadata, "status": {}}, 201)

    world.server.script("POST jobs", made)
    assert world.controller(controls=controls).outcome == "left"
    assert not world.server.asked(f"DELETE jobs/{JOB}")
    assert not world.store.list_folders(names.run_lease(world.run_id)), "another controller may begin at once"


def stamp(age_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age_s))


def test_a_run_over_its_gpu_hours_is_stopped_and_has_failed(world: World) -> None:
    """One GPU for 30 minutes, with a ceiling of 0.4 hours."""
    watch = Stream()
    made: list[Object] = []

    def create(request: Request) -> Answer:
        assert request.body is not None
        metadata = {**request.body["metadata"], "resourceVersion": "7", "uid": "j", "creationTimestamp": stamp(1800)}
        made.append({**request.body, "metadata": metadata, "status": {"startTime": stamp(1800)}})
        pod = {
            "metadata": {"name": "p", "resourceVersion": "8",
                         "labels": {**metadata["labels"], "batch.kubernetes.io/job-name": JOB}},
            "spec": {"containers": [{"name": "data", "image": "x"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "data", "state": {"running": {"startedAt": stamp(1800)}}}]},
        }  # fmt: skip
        pods.send(event("ADDED", pod))
        return answer(made[0], 201)

    def delete(_: Request) -> Answer:
        pods.send(event("DELETED", {"metadata": {"name": "p", "resourceVersion": "9"}}))
        threading.Timer(0.3, lambda: watch.send(event("DELETED", made[0]))).start()
        return answer({})

    pods = Stream()
    world.server.script("WATCH jobs", watch)
    world.server.script("WATCH pods", pods)
    world.server.script("GET configmaps/demo-run", answer(config(gpu_hours=0.4)))
    world.server.script("POST jobs", create)
    world.server.script(f"DELETE jobs/{JOB}", delete)
    verdict = world.controller()
    assert (verdict.outcome, verdict.failure, verdict.exit_code) == ("failed", "budget", 3)
    assert verdict.message.startswith("0.50 GPU hours are used, gpu_hours of cluster.yaml is 0.4")
    (deleted,) = [item for _, item in runs.read_events(world.store, world.run_id) if item.kind == "job-deleted"]
    assert deleted.fields["reason"] == verdict.message
    results = [attempt.result for attempt in runs.read_attempts(world.store, world.run_id)["data"]]
    assert [result.termination.failure for result in results if result] == ["budget"]
    assert world.created() == [JOB]


def test_hours_before_a_preemption_count(world: World) -> None:
    """A Job that is preempted by Kueue goes on later, with other pods."""
    stage = finish(world.plan, "data", {})
    intent = Intent(run_id=world.run_id, attempt=0, job=JOB, plan=stage, created=0.0)
    job = build_job(intent, JobSettings(store=StoreSpec(uri="s3://b/x"), namespace="team"))
    job["metadata"] |= {"resourceVersion": "7", "uid": "j", "creationTimestamp": stamp(7200)}
    world.server.script("GET jobs", listing("7", {**job, "status": {}}))
    world.server.script("WATCH pods", pods := Stream())
    backend = KubernetesBackend(world.server.api(), "demo")
    reader = StageReader(world.store, world.plan, world.run_id, finish)
    observer = Observer(world.store, world.run_id, backend, reader)
    now = time.time()

    def begun(phase: str, at: float) -> float | None:
        deadline = time.monotonic() + 5
        while True:
            seen = observer.observe(Session(number=0, begun=0.0), at, None, False)
            if seen.jobs["data", 0].phase == phase:
                return seen.begun.get(("data", 0))
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def pod(name: str, age_s: float) -> bytes:
        labels = {**job["metadata"]["labels"], "batch.kubernetes.io/job-name": JOB}
        running = [{"name": "data", "state": {"running": {"startedAt": stamp(age_s)}}}]
        return event("ADDED", {"metadata": {"name": name, "resourceVersion": "8", "labels": labels},
                               "spec": {"containers": [{"name": "data", "image": "x"}]},
                               "status": {"phase": "Running", "containerStatuses": running}})  # fmt: skip

    assert begun("pending", now - 5000) is None
    pods.send(pod("p", 3600))
    assert begun("running", now - 3000) == pytest.approx(now - 3600, abs=2)
    pods.send(event("DELETED", {"metadata": {"name": "p", "resourceVersion": "9"}}))
    assert begun("pending", now - 3000) == pytest.approx(now - 3600, abs=2)
    pods.send(pod("q", 100))
    assert begun("running", now) == pytest.approx(now - 100 - 600, abs=2)
    assert begun("running", now) == pytest.approx(now - 100 - 600, abs=2)


# --- last words -------------------------------------------------------------------------------------------------------
def test_an_attempt_past_its_deadline_is_charged_whatever_its_agent_has_said(world: World) -> None:
    """Its pods are gone; the agent left in the store that it was told to stop, which is free of charge."""
    stage = finish(world.plan, "data", {})
    intent = Intent(run_id=world.run_id, attempt=0, job=JOB, plan=stage, created=0.0)
    job = build_job(intent, JobSettings(store=StoreSpec(uri="s3://b/x"), namespace="team"))
    job["metadata"] |= {"resourceVersion": "7", "uid": "j", "creationTimestamp": stamp(60)}
    ended = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": stamp(1)}
    job["status"] = {"conditions": [ended], "startTime": stamp(60)}
    world.server.script("GET jobs", listing("7", job))
    said = Termination(failure="stopped", code=20, step=57, checkpoint=50)
    write_ending(world.store, world.run_id, "data", 0, 0, said)
    backend = KubernetesBackend(world.server.api(), "demo")
    reader = StageReader(world.store, world.plan, world.run_id, finish)
    seen = Observer(world.store, world.run_id, backend, reader).observe(Session(number=0, begun=0.0), 0.0, None, False)
    heard = seen.jobs["data", 0].termination
    assert heard is not None
    assert (heard.failure, heard.code, heard.step, heard.checkpoint) == ("hang", 22, 57, 50)
    assert "limits.stage_time_s" in heard.message


def test_a_pod_that_nobody_can_end_may_have_left_its_last_word(world: World) -> None:
    """Its node was cut off from the cluster, not from the store."""
    stage = finish(world.plan, "data", {})
    intent = Intent(run_id=world.run_id, attempt=0, job=JOB, plan=stage, created=0.0)
    job = build_job(intent, JobSettings(store=StoreSpec(uri="s3://b/x"), namespace="team"))
    job["metadata"] |= {"resourceVersion": "7", "uid": "j", "creationTimestamp": stamp(9000)}
    labels = {**job["metadata"]["labels"], "batch.kubernetes.io/job-name": JOB}
    pod = {"metadata": {"name": "p", "resourceVersion": "8", "labels": labels, "deletionTimestamp": stamp(3600)},
           "spec": {"nodeName": "gpu-7", "containers": [{"name": "data", "image": "x"}]},
           "status": {"phase": "Running", "containerStatuses": [
               {"name": "data", "state": {"running": {}}}]}}  # fmt: skip
    world.server.script("GET jobs", listing("9", {**job, "status": {}}))
    world.server.script("GET pods", listing("9", pod))
    backend = KubernetesBackend(world.server.api(), "demo")
    reader = StageReader(world.store, world.plan, world.run_id, finish)

    def look() -> Termination | None:
        seen = Observer(world.store, world.run_id, backend, reader).observe(
            Session(number=0, begun=0.0), 0, None, False
        )
        return seen.jobs["data", 0].hopeless

    unheard = look()
    assert unheard is not None and "node gpu-7 does not answer" in unheard.message
    write_ending(world.store, world.run_id, "data", 0, 0, Termination(failure="user", code=1, message="bad record"))
    heard = look()
    assert heard is not None and (heard.failure, heard.message) == ("user", "bad record")


def test_the_owner_names_the_namespace() -> None:
    assert namespace_of(owner_of("demo", "team")) == "team"


def test_what_a_request_is_made_of(server: ScriptedApi) -> None:
    release: Release = read_release(server.api(), "demo")
    requests = {request_of(release, again) for again in ("", "0", "1")}
    assert requests == {"u1/0 of demo-anchor", "u1/1 of demo-anchor"}
