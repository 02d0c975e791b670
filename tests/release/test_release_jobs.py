"""What the controller of a release sees of its Jobs: the hours that they took, the last words of pods that are gone."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs import runs
from sftjobs.attempts import Termination
from sftjobs.backend.kubernetes import KubernetesBackend
from sftjobs.controller.observe import Observer
from sftjobs.controller.stage_reader import StageReader
from sftjobs.kube.api import Object
from sftjobs.plan.finish import finish
from sftjobs.runs import Session, write_ending
from tests.support.release_world import JOB, World, config, release_server, stamp
from tests.support.scripted_api import Answer, Request, Stream, answer, event, listing


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with release_server() as server:
        yield World(tmp_path, server)


# --- hours ------------------------------------------------------------------------------------------------------------
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
    job = world.job(7200)
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
    job = world.job(60)
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
    job = world.job(9000)
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
