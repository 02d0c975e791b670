"""The backend for Kubernetes where a real API server does too rarely what it may do at any time."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sftjobs import names
from sftjobs.backend import kubernetes as module
from sftjobs.backend.base import BackendError, RefusedJobError, ReleaseGoneError
from sftjobs.backend.kubernetes import Anchor, KubernetesBackend, patience_of
from sftjobs.kube.api import Object
from sftjobs.kube.job_status import Patience
from sftjobs.objects import JobSettings, build_job
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.run import StoreSpec
from tests.support.chains import RUN_ID, intent
from tests.support.scripted_api import NAMESPACE, ScriptedApi, Stream, answer, event, listing, status

JOB = build_job(intent("train"), JobSettings(store=StoreSpec(uri="s3://bucket/x"), namespace=NAMESPACE))
NAME = JOB["metadata"]["name"]
AN_HOUR_AGO = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))


def as_made(version: str = "7", **metadata: Any) -> Object:
    """The Job as the server shows it."""
    more = {"resourceVersion": version, "uid": "u1", "creationTimestamp": AN_HOUR_AGO, **metadata}
    return {**JOB, "metadata": {**JOB["metadata"], **more}, "status": {"startTime": AN_HOUR_AGO}}


def pod(name: str = "p", *, phase: str = "Running", job: str = NAME, **pod_status: Any) -> Object:
    labels = {**JOB["metadata"]["labels"], module.JOB_OF_POD: job}
    container = {"name": "train", "state": {phase.lower(): {"startedAt": AN_HOUR_AGO}}}
    shown = {"phase": phase, "containerStatuses": [container], **pod_status}
    return {
        "metadata": {"name": name, "resourceVersion": "8", "labels": labels},
        "spec": {"containers": [{"name": "train", "image": "sftjobs/train:1"}]},
        "status": shown,
    }


STUCK = pod(
    phase="Pending",
    containerStatuses=[
        {"name": "train", "state": {"waiting": {"reason": "ErrImagePull", "message": "sftjobs/train:1: not found"}}}
    ],
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    with ScriptedApi() as found:
        found.quiet("jobs", "pods")
        found.script("GET events", listing("1"))
        yield found


def backend(server: ScriptedApi, **more: Any) -> KubernetesBackend:
    return KubernetesBackend(server.api(), "demo", **more)


# --- making a Job -----------------------------------------------------------------------------------------------------
def test_what_was_made_is_listed_at_once(server: ScriptedApi) -> None:
    server.script("POST jobs", answer(as_made(), 201))
    mine = backend(server)
    assert mine.list(RUN_ID) == []
    mine.create(JOB)
    assert [job.name for job in mine.list(RUN_ID)] == [NAME]
    assert server.asked("POST jobs")[0].body == JOB
    assert server.asked("GET jobs")[0].query == {"labelSelector": f"{names.LABEL_RUN}=demo,{names.LABEL_STAGE}"}


def test_a_job_that_exists_already_is_ours(server: ScriptedApi) -> None:
    """A lost answer, or a controller that ended between the request and its record."""
    server.script("POST jobs", status(409, "AlreadyExists", "already exists"))
    server.script(f"GET jobs/{NAME}", answer(as_made()))
    mine = backend(server)
    mine.create(JOB)
    assert [job.name for job in mine.list(RUN_ID)] == [NAME]


@pytest.mark.parametrize("key", [names.ANNOTATION_RUN_ID, names.ANNOTATION_STAGE_KEY])
def test_a_job_of_somebody_else_is_left_alone(server: ScriptedApi, key: str) -> None:
    other = as_made(annotations={**JOB["metadata"]["annotations"], key: "another"})
    server.script("POST jobs", status(409, "AlreadyExists", "already exists"))
    server.script(f"GET jobs/{NAME}", answer(other))
    with pytest.raises(BackendError, match=f"{NAME} exists already with {key} another, wanted .*; delete it"):
        backend(server).create(JOB)
    assert not server.asked(f"DELETE jobs/{NAME}")


def test_a_job_that_is_being_deleted_is_waited_for(server: ScriptedApi) -> None:
    server.script("POST jobs", status(409, "AlreadyExists", "already exists"))
    server.script(f"GET jobs/{NAME}", answer(as_made(deletionTimestamp=AN_HOUR_AGO)), status(404, "NotFound", "gone"))
    with pytest.raises(BackendError, match="is still being deleted"):
        backend(server).create(JOB)
    with pytest.raises(BackendError, match="gone"):
        backend(server).create(JOB)


@pytest.mark.parametrize(
    "reply",
    [
        status(403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: team, requested: count/jobs.batch=1'),
        status(500, "InternalError", 'failed calling webhook "mjob.kb.io": connection refused'),
        status(400, "BadRequest", 'failed calling webhook "v.example.org": no endpoints available'),
        status(429, "TooManyRequests", "later", Retry_After="17"),
        status(504, "Timeout", "too slow"),
    ],
    ids=["quota", "webhook away", "webhook away, 400", "429", "504"],
)
def test_what_may_pass_is_tried_again(server: ScriptedApi, reply: Any) -> None:
    server.script("POST jobs", reply)
    with pytest.raises(BackendError) as caught:
        backend(server).create(JOB)
    assert caught.value.retry_after_s == (17.0 if reply.status == 429 else None)


@pytest.mark.parametrize(
    "reply",
    [
        status(422, "Invalid", 'Job.batch "x" is invalid: spec.template.spec.tolerations[0].key: Invalid value'),
        status(403, "Forbidden", 'jobs.batch is forbidden: User "x" cannot create resource "jobs"'),
        status(400, "BadRequest", 'admission webhook "policy.example.org" denied the request: no owner label'),
    ],
    ids=["422", "403", "policy"],
)
def test_what_stays_refused_is_the_end_of_the_attempt(server: ScriptedApi, reply: Any) -> None:
    server.script("POST jobs", reply)
    with pytest.raises(RefusedJobError, match=f"the cluster refuses job {NAME}: "):
        backend(server).create(JOB)


def test_a_namespace_that_is_being_deleted_is_no_failure_of_the_run(server: ScriptedApi) -> None:
    message = "unable to create new content in namespace team because it is being terminated"
    server.script("POST jobs", status(403, "Forbidden", f'jobs.batch "x" is forbidden: {message}'))
    with pytest.raises(ReleaseGoneError, match="being terminated"):
        backend(server).create(JOB)


# --- the anchor -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (status(404, "NotFound", "not found"), "demo-anchor is gone: the release was uninstalled"),
        (answer({"metadata": {"uid": "another"}}), "is another one now"),
        (answer({"metadata": {"uid": "mine", "deletionTimestamp": AN_HOUR_AGO}}), "is another one now"),
    ],
)
def test_without_its_anchor_nothing_is_made(server: ScriptedApi, reply: Any, message: str) -> None:
    server.script("GET configmaps/demo-anchor", reply)
    mine = backend(server, anchor=Anchor(server.api(), "demo-anchor", "mine"))
    with pytest.raises(ReleaseGoneError, match=message):
        mine.create(JOB)
    assert not server.asked("POST jobs")


def test_an_anchor_that_cannot_be_looked_at_is_no_reason_to_leave(server: ScriptedApi) -> None:
    server.script(
        "GET configmaps/demo-anchor", status(503, "Unavailable", "starting"), answer({"metadata": {"uid": "mine"}})
    )
    server.script("POST jobs", answer(as_made(), 201))
    mine = backend(server, anchor=Anchor(server.api(), "demo-anchor", "mine"))
    with pytest.raises(BackendError, match="starting"):
        mine.create(JOB)
    mine.create(JOB)
    assert len(server.asked("POST jobs")) == 1


# --- what there is ----------------------------------------------------------------------------------------------------
def test_nothing_is_known_while_the_server_is_away(server: ScriptedApi) -> None:
    server.script("GET pods", status(503, "Unavailable", "starting", Retry_After="1"))
    with pytest.raises(BackendError, match="starting"):
        backend(server).list(RUN_ID)


def test_jobs_of_other_runs_of_the_same_name_are_not_ours(server: ScriptedApi) -> None:
    """Nor are their pods orphans: the Job of the other run is there, and must not be deleted by name."""
    server.script("GET jobs", listing("9", as_made(annotations={names.ANNOTATION_RUN_ID: "demo-another"})))
    server.script("GET pods", listing("9", pod()))
    assert backend(server).list(RUN_ID) == []


def test_pods_that_outlive_their_job_keep_its_place(server: ScriptedApi) -> None:
    ended = pod("q", phase="Failed", job="demo-train-a1")
    server.script("GET pods", listing("9", pod(), ended))
    (found,) = backend(server).list(RUN_ID)
    assert (found.name, found.stage, found.attempt, found.phase) == (NAME, "train", 0, "running")


def test_a_pod_of_a_lost_node_does_not_keep_the_place_of_its_job_for_ever(server: ScriptedApi) -> None:
    lost = pod()
    lost["metadata"]["deletionTimestamp"] = AN_HOUR_AGO
    server.script("GET pods", listing("9", lost))
    assert backend(server).list(RUN_ID) == []


def test_news_wake_whoever_waits(server: ScriptedApi) -> None:
    woken: list[float] = []
    server.script("GET jobs", listing("6", as_made()))
    server.script("WATCH pods", stream := Stream())
    mine = backend(server, on_change=lambda: woken.append(time.monotonic()))
    assert mine.list(RUN_ID)[0].phase == "pending"
    stream.opened.wait(5)
    before = len(woken)
    stream.send(event("ADDED", pod()))
    deadline = time.monotonic() + 5
    while mine.list(RUN_ID)[0].phase != "running":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(woken) > before


def ended(*, pods_of: str = "u1", **more: Any) -> tuple[Object, Object]:
    """A Job that has failed, and its pod, killed for memory."""
    over = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": AN_HOUR_AGO}
    killed = {"exitCode": 137, "reason": "OOMKilled", "startedAt": AN_HOUR_AGO, "finishedAt": AN_HOUR_AGO}
    victim = pod(phase="Failed", containerStatuses=[{"name": "train", "state": {"terminated": killed}}])
    victim["metadata"]["labels"] |= {module.UID_OF_JOB: pods_of}
    return {**as_made(**more), "status": {"conditions": [over]}}, victim


def test_before_the_pods_of_an_ended_job_count_as_gone_the_server_is_asked(server: ScriptedApi) -> None:
    """Their watch may have been cut off when they began: a loss of memory would be tried again 10 times, not once."""
    job, victim = ended()
    server.script("GET jobs", listing("9", job))
    server.script("GET pods", listing("1"), listing("9", victim))
    mine = backend(server)
    for _ in range(3):
        (found,) = mine.list(RUN_ID)
        assert found.termination is not None
        assert (found.termination.failure, found.unheard) == ("out_of_memory", False)
    assert [request.query["labelSelector"] for request in server.asked("GET pods")][1:] == [
        f"{module.JOB_OF_POD}={NAME}"
    ]


def test_pods_that_are_really_gone_are_asked_for_once(server: ScriptedApi) -> None:
    server.script("GET jobs", listing("9", ended()[0]))
    server.script("GET pods", listing("1"), status(503, "Unavailable", "starting"), listing("9"))
    mine = backend(server)
    with pytest.raises(BackendError, match="starting"):
        mine.list(RUN_ID)
    assert [mine.list(RUN_ID)[0].unheard for _ in range(3)] == [True] * 3
    assert len(server.asked("GET pods")) == 3


def test_a_pod_of_an_earlier_job_of_the_same_name_says_nothing_about_this_one(server: ScriptedApi) -> None:
    """One that was deleted by hand is made again."""
    victim = ended(pods_of="another")[1]
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", victim))
    (found,) = backend(server).list(RUN_ID)
    assert (found.phase, found.started) == ("pending", None)


# --- why it waits -----------------------------------------------------------------------------------------------------
def test_the_events_of_a_pending_job_are_read_now_and_then(
    server: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", STUCK))
    mine = backend(server)
    for _ in range(20):
        assert "sftjobs/train:1: not found" in mine.list(RUN_ID)[0].detail
    asked = [request.query["fieldSelector"] for request in server.asked("GET events")]
    assert asked == [f"involvedObject.name={NAME}", "involvedObject.name=p"]


def test_the_pods_of_a_large_group_are_asked_about_in_one_request(server: ScriptedApi) -> None:
    server.script("GET jobs", listing("9", as_made()))
    server.script(
        "GET pods", listing("9", *({**STUCK, "metadata": {**STUCK["metadata"], "name": f"p{n}"}} for n in range(8)))
    )
    backend(server).list(RUN_ID)
    assert [request.query for request in server.asked("GET events")] == [{}]


def test_events_that_may_not_be_read_are_no_trouble(server: ScriptedApi) -> None:
    server.script("GET events", status(403, "Forbidden", "may not"))
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", STUCK))
    assert "sftjobs/train:1: not found" in backend(server).list(RUN_ID)[0].detail


def test_a_job_in_a_queue_says_what_the_queue_says(server: ScriptedApi) -> None:
    queued = as_made(labels={**JOB["metadata"]["labels"], names.LABEL_QUEUE: "team-a"})
    queued["spec"] = {**queued["spec"], "suspend": True}
    said = {"type": "QuotaReserved", "status": "False", "message": "insufficient quota for nvidia.com/gpu"}
    server.script("GET jobs", listing("9", queued))
    server.script("GET workloads", listing("9", {"metadata": {"name": "w"}, "status": {"conditions": [said]}}))
    (found,) = backend(server).list(RUN_ID)
    assert found.detail == "waiting for quota in team-a: insufficient quota for nvidia.com/gpu"
    assert server.asked("GET workloads")[0].query == {"labelSelector": "kueue.x-k8s.io/job-uid=u1"}


def test_a_queue_without_kueue_is_told_from_a_queue_without_quota(server: ScriptedApi) -> None:
    """Nobody would ever start the Job."""
    queued = as_made(labels={**JOB["metadata"]["labels"], names.LABEL_QUEUE: "team-a"})
    queued["spec"] = {**queued["spec"], "suspend": True}
    server.script("GET jobs", listing("9", queued))
    server.script("GET workloads", listing("9"))
    assert "Kueue has made no Workload for it" in backend(server).list(RUN_ID)[0].detail
    server.script("GET workloads", status(403, "Forbidden", "may not"))
    assert backend(server).list(RUN_ID)[0].detail == "waiting for quota in team-a", "not known"


def test_an_image_is_waited_for_only_so_long(server: ScriptedApi) -> None:
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", STUCK))
    mine = backend(server, patience=Patience(image_s=0.3, pull_s=600, start_s=86_400))
    assert mine.list(RUN_ID)[0].hopeless is None, "it has failed since now, as far as this controller knows"
    time.sleep(0.4)
    said = mine.list(RUN_ID)[0].hopeless
    assert said is not None and said.failure == "image"
    assert "sftjobs/train:1: not found" in said.message


def test_patience_is_that_of_cluster_yaml() -> None:
    found = patience_of(ClusterSpec(image_patience_s=20, start_patience_s=60))
    assert (found.image_s, found.pull_s, found.start_s) == (20, module.PULL_PATIENCE_S, 60)
    assert patience_of(ClusterSpec(image_patience_s=3600)).pull_s == 3600


# --- deleting ---------------------------------------------------------------------------------------------------------
def test_a_deleted_job_stays_until_its_pods_have_ended(server: ScriptedApi) -> None:
    server.script(f"DELETE jobs/{NAME}", answer({}), status(404, "NotFound"), status(500, "InternalError", "no leader"))
    mine = backend(server)
    mine.delete(RUN_ID, NAME)
    mine.delete(RUN_ID, NAME)
    with pytest.raises(BackendError, match="no leader"):
        mine.delete(RUN_ID, NAME)
    assert server.asked(f"DELETE jobs/{NAME}")[0].body == {"propagationPolicy": "Foreground"}


def test_force_ends_pods_where_that_is_allowed(server: ScriptedApi) -> None:
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", pod(), pod("q", job="demo-eval-a0")))
    server.script(f"DELETE jobs/{NAME}", answer({}))
    server.script("DELETE pods/p", answer({}), status(403, "Forbidden", "a controller may not"))
    mine = backend(server)
    mine.list(RUN_ID)
    mine.delete(RUN_ID, NAME, grace_s=0)
    mine.delete(RUN_ID, NAME, grace_s=0)
    assert server.asked("DELETE pods/p")[0].body == {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
    assert not server.asked("DELETE pods/q")
    assert len(server.asked(f"DELETE jobs/{NAME}")) == 2


# --- what it costs ----------------------------------------------------------------------------------------------------
def test_an_idle_backend_asks_for_nothing(server: ScriptedApi) -> None:
    """Two listings, two watches and one look at how the image came, however often the controller looks."""
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", pod()))
    mine = backend(server)
    for _ in range(50):
        assert mine.list(RUN_ID)[0].phase == "running"
        time.sleep(0.02)
    asked = sorted(request.verb for request in server.requests)
    assert asked == ["GET events", "GET jobs", "GET pods", "WATCH jobs", "WATCH pods"]


def _happened(reason: str, second: int) -> dict[str, Any]:
    return {"reason": reason, "lastTimestamp": f"2026-11-26T20:00:{second:02}Z", "involvedObject": {"name": "p"}}


def test_how_long_the_image_took_is_known_from_its_events(server: ScriptedApi) -> None:
    events = [_happened("Pulled", 42), _happened("Scheduled", 1), _happened("Pulling", 2), _happened("Started", 43)]
    server.script("GET events", listing("1", *events))
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", pod()))
    times = backend(server).list(RUN_ID)[0].times
    assert times["pulled"] - times["pulling"] == 40


@pytest.mark.parametrize("reasons", [["Pulled"], ["Pulling"], []])
def test_without_both_events_nothing_is_known_of_a_pull(reasons: list[str], server: ScriptedApi) -> None:
    """A node that has the image says `Pulled` alone; after an hour the events are gone."""
    server.script("GET events", listing("1", *(_happened(reason, 5) for reason in reasons)))
    server.script("GET jobs", listing("9", as_made()))
    server.script("GET pods", listing("9", pod()))
    assert not {"pulling", "pulled"} & backend(server).list(RUN_ID)[0].times.keys()
