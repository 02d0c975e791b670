"""What is made of what a real cluster has said: tests/golden/kube/, recorded by tests/support/kube_scenes.py."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sftjobs.attempts import Termination
from sftjobs.backend.base import JobStatus
from sftjobs.backend.endings import first_failure
from sftjobs.kube.api import Object
from sftjobs.kube.endings import pod_ending
from sftjobs.kube.job_status import Patience, hopeless, job_status, orphan_status, pending_since
from sftjobs.kube.objects import is_over, unix
from sftjobs.kube.reasons import Reason, why_pending

GOLDEN = Path(__file__).parents[1] / "golden" / "kube"
PATIENCE = Patience(image_s=90, pull_s=600, start_s=3600)
NOW = 2_000_000_000.0


@dataclass
class Scene:
    job: Object
    pods: list[Object]
    events: list[Object]
    workload: Object | None

    def status(self, now: float = NOW) -> JobStatus:
        return job_status(self.job, self.pods, now)

    def after_grace(self, seconds: float) -> JobStatus:
        """As it is so long after its pods should have ended."""
        for pod in self.pods:
            pod["metadata"]["deletionTimestamp"] = "2026-12-01T00:00:00Z"
        return self.status((unix("2026-12-01T00:00:00Z") or 0.0) + seconds)

    def why(self) -> Reason:
        return why_pending(self.job, [pod for pod in self.pods if not is_over(pod)], self.events, self.workload)


def scene(name: str) -> Scene:
    return Scene(**json.loads((GOLDEN / f"{name}.json").read_text()))


# --- how it ended -----------------------------------------------------------------------------------------------------
ENDINGS = [
    ("complete", "committed", 0, ""),
    ("exit-1", "user", 1, "exit code 1 and no message: no module named x"),
    ("exit-10", "config", 10, "bad config"),
    ("exit-20-said", "stopped", 20, ""),
    ("exit-137", "infrastructure", 21, "killed from outside (KILL), not for memory"),
    ("exit-139", "user", 139, "SIGSEGV; before"),
    ("oom-killed", "out_of_memory", 137, "raise memory_gib"),
    ("oom-of-a-child", "out_of_memory", 1, ""),
    ("oom-of-a-child-unsaid", "infrastructure", 21, "Killed"),
    ("start-error", "config", 10, "/no/such/program: no such file or directory"),
    ("deadline", "hang", 22, "raise limits.stage_time_s"),
    ("group-first-failure", "hang", 22, ""),
    ("pod-deleted", "infrastructure", 21, "a pod vanished before its last word was read"),
    ("evicted-by-the-api", "stopped", 20, "the node was taken away"),
    ("evicted-volume-too-large", "user", 1, 'EmptyDir volume "scratch" exceeds the limit "8Mi"; raise disk_gib'),
    ("evicted-log-too-large", "user", 1, "exceeds the total limit of containers 64Mi; raise disk_gib"),
]


@pytest.mark.parametrize(("name", "failure", "code", "message"), ENDINGS)
def test_how_it_ended(name: str, failure: str, code: int, message: str) -> None:
    status = scene(name).status()
    assert status.phase == "ended"
    assert status.termination is not None
    assert (status.termination.failure, status.termination.code) == (failure, code)
    assert message in status.termination.message
    assert (status.stage, status.attempt) == ("train", 0)


@pytest.mark.parametrize("name", [name for name, *_ in ENDINGS])
def test_times_of_what_has_ended(name: str) -> None:
    status = scene(name).status()
    assert status.finished is not None and status.finished < NOW
    known = [status.times[key] for key in ("created", "started", "finished") if key in status.times]
    assert known == sorted(known)
    assert known[0] > 1.7e9, "no time is taken from a field that means `never`"


def test_the_agent_of_a_child_that_was_killed_has_the_last_word() -> None:
    """On cgroup v1 the reason is OOMKilled whatever the exit code is."""
    said = scene("oom-of-a-child").status().termination
    assert said is not None and said.step == 7


@pytest.mark.parametrize("name", ["deadline", "pod-deleted", "evicted-by-the-api"])
def test_pods_that_are_gone_were_not_heard(name: str) -> None:
    status = scene(name).status()
    assert status.unheard
    assert (status.past_deadline_s is not None) is (name == "deadline")


@pytest.mark.parametrize("name", ["exit-1", "oom-killed", "complete", "group-first-failure"])
def test_pods_that_are_there_were_heard(name: str) -> None:
    assert not scene(name).status().unheard


def test_a_job_ends_when_its_last_pod_has_ended() -> None:
    """Another attempt would otherwise write beside the one before it."""
    seen = scene("exit-1")
    seen.pods[0]["status"]["phase"] = "Running"
    assert seen.status().phase == "running"
    interim = scene("exit-1")
    interim.job["status"]["conditions"] = [
        item for item in interim.job["status"]["conditions"] if item["type"] == "FailureTarget"
    ]
    assert interim.status().phase == "running"


def test_a_job_that_is_complete_and_whose_pods_are_gone() -> None:
    seen = scene("complete")
    seen.pods = []
    status = seen.status()
    assert status.termination is not None
    assert (status.phase, status.termination.failure, status.unheard) == ("ended", "committed", True)


def test_the_first_of_a_group_counts() -> None:
    """What its peers say is a consequence, even if they say it in other words."""
    seen = scene("group-first-failure")
    later = json.loads(json.dumps(seen.pods[0]))
    ended = later["status"]["containerStatuses"][0]["state"]["terminated"]
    ended.update(finishedAt="2026-11-26T21:49:39Z", message='{"failure": "infrastructure", "code": 21}')
    said = Scene(seen.job, [later, *seen.pods], [], None).status().termination
    assert said is not None and said.failure == "hang"


@pytest.mark.parametrize(
    ("message", "failure", "words"),
    [
        ("The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 5Mi. Container train "
         "was using 5Gi, request is 1Gi, has larger consumption of ephemeral-storage. ", "infrastructure", "evicted:"),
        ("The node was low on resource: memory. Container train was using 5Gi, which exceeds its request of 1Gi. ",
         "infrastructure", "evicted: The node"),
        ('Container train exceeded its local ephemeral storage limit "2Gi". ', "user", '"2Gi"; raise disk_gib'),
        ('Usage of EmptyDir volume "shm" exceeds the limit "1Gi". ', "user", "raise memory_gib"),
        (None, "infrastructure", "the node had to give back resources"),
    ],
)  # fmt: skip
def test_evictions(message: str | None, failure: str, words: str) -> None:
    seen = scene("evicted-log-too-large")
    seen.pods[0]["status"]["message"] = message
    said = pod_ending(seen.pods[0])
    assert said.failure == failure
    assert words in said.message


def test_an_agent_that_is_stopped_by_its_own_use_of_the_disk_is_not_tried_again() -> None:
    """It only knows that it was told to stop; without a charge it would fill the disk again and again."""
    seen = scene("evicted-log-too-large")
    ended = seen.pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    ended.update(exitCode=20, message='{"failure": "stopped", "code": 20, "step": 9, "checkpoint": 5}')
    said = pod_ending(seen.pods[0])
    assert (said.failure, said.step, said.checkpoint) == ("user", 9, 5)
    seen.pods[0]["status"]["message"] = "The node was low on resource: memory. "
    assert pod_ending(seen.pods[0]).failure == "stopped"


def test_a_pod_that_was_disrupted_without_a_word() -> None:
    seen = scene("exit-137")
    why = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempted"}
    seen.pods[0]["status"]["conditions"].append(why)
    said = pod_ending(seen.pods[0])
    assert (said.failure, said.message) == ("stopped", "preempted")


def test_a_pod_that_ended_before_it_had_a_container() -> None:
    seen = scene("exit-137")
    seen.pods[0]["status"] = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no devices left"}
    said = pod_ending(seen.pods[0])
    assert (said.failure, "no devices left" in said.message) == ("infrastructure", True)


def test_a_message_that_is_not_ours_is_no_last_word() -> None:
    seen = scene("exit-20-said")
    ended = seen.pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    for text in ('{"failure": "no such class", "code": 20}', '{"failure": "stopp', "[]"):
        ended["message"] = text
        assert pod_ending(seen.pods[0]).failure == "stopped", "by its exit code"
        assert text in pod_ending(seen.pods[0]).message


def test_a_container_that_a_mesh_has_put_beside_the_agent_says_nothing() -> None:
    seen = scene("exit-1")
    other = {"name": "istio-proxy", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-26T21:49:39Z"}}}
    seen.pods[0]["status"]["containerStatuses"].insert(0, other)
    assert pod_ending(seen.pods[0]).code == 1


# --- while it goes on -------------------------------------------------------------------------------------------------
def test_what_runs() -> None:
    status = scene("running").status()
    assert (status.phase, status.detail, status.hopeless) == ("running", "", None)


@pytest.mark.parametrize(
    ("name", "detail"), [("being-deleted", "being deleted"), ("preempted-saving", "being preempted: saving")]
)
@pytest.mark.parametrize("seconds", [-1, 299])
def test_what_is_ending(name: str, detail: str, seconds: float) -> None:
    status = scene(name).after_grace(seconds)
    assert (status.phase, status.detail, status.hopeless) == ("running", detail, None)


def test_pods_of_a_node_that_does_not_answer_are_not_waited_for() -> None:
    """Nobody tells how they end, for as long as the Node object is there. The Job goes first, as any other leftover:
    one that Kueue has suspended would come back."""
    seen = scene("preempted-saving")
    seen.pods[0]["spec"]["nodeName"] = "gpu-7"
    status = seen.after_grace(301)
    assert (status.phase, status.unheard) == ("running", True)
    assert status.hopeless is not None and status.hopeless.failure == "infrastructure"
    assert "node gpu-7 does not answer" in status.hopeless.message
    deleted = scene("being-deleted").after_grace(301)
    assert (deleted.phase, deleted.unheard) == ("ended", True)
    assert deleted.termination is not None and deleted.termination.failure == "infrastructure"


def test_one_pod_that_answers_is_waited_for() -> None:
    seen = scene("being-deleted")
    alive = json.loads(json.dumps(seen.pods[0]))
    alive["metadata"].update(name="alive", deletionTimestamp="2036-01-01T00:00:00Z")
    until = unix(seen.pods[0]["metadata"]["deletionTimestamp"])
    assert until is not None
    assert Scene(seen.job, [*seen.pods, alive], [], None).status(until + 301).phase == "running"


@pytest.mark.parametrize(("seconds", "over"), [(59, False), (61, True)])
def test_a_container_of_a_mesh_does_not_keep_an_attempt_open(seconds: float, over: bool) -> None:
    """It runs on after the agent, so the pod has no end; its Job is deleted then."""
    seen = scene("exit-1")
    seen.job["status"]["conditions"] = []
    seen.pods[0]["status"]["phase"] = "Running"
    seen.pods[0]["status"]["containerStatuses"].append({"name": "istio-proxy", "state": {"running": {}}})
    ended = unix(seen.pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"])
    assert ended is not None
    status = seen.status(ended + seconds)
    assert status.phase == "running"
    assert (status.hopeless.code if status.hopeless is not None else None) == (1 if over else None)
    seen.pods[0]["metadata"]["deletionTimestamp"] = "2036-01-01T00:00:00Z"
    assert seen.status(ended + seconds).hopeless is None, "it is ending already"


def test_a_job_that_has_ended_says_so_while_it_is_deleted() -> None:
    """By its time to live, when nobody was there to record its result: it would be run once more."""
    seen = scene("exit-10")
    seen.job["metadata"]["deletionTimestamp"] = "2026-12-03T00:00:00Z"
    status = seen.status()
    assert status.phase == "ended"
    assert status.termination is not None and status.termination.failure == "config"


def test_pods_that_vanish_before_their_job_has_ended_were_not_pending() -> None:
    """Jobs and pods are seen through two watches: one may be a moment ahead."""
    seen = scene("running")
    seen.pods, seen.job["status"]["ready"] = [], 1
    assert seen.status().phase == "running"


def test_pods_that_outlive_their_job() -> None:
    seen = scene("being-deleted")
    status = orphan_status("demo-train-a0", seen.pods)
    assert (status.phase, status.stage, status.attempt) == ("running", "train", 0)
    assert "its pods are ending" in status.detail


# --- why it has not started -------------------------------------------------------------------------------------------
WAITS = [
    ("unschedulable", "unschedulable", "cannot be scheduled: 0/11 nodes are available: 1 Insufficient nvidia.com/gpu"),
    ("image-not-found", "image", "localhost:5055/missing:1 cannot be pulled: rpc error: code = NotFound"),
    ("image-first-failure", "image", "localhost:5055/missing:2: not found"),
    ("image-denied", "image", "401 Unauthorized"),
    ("image-unknown-host", "image", "no such host"),
    ("image-never-pulled", "image", "sftjobs/none:1 cannot be pulled"),
    ("image-invalid-name", "image", "Sftjobs/None:1 cannot be pulled"),
    ("image-registry-busy", "later", "429 Too Many Requests"),
    ("image-registry-broken", "later", "503 Service Unavailable"),
    ("image-registry-away", "later", "connection refused"),
    ("secret-key-missing", "config", "couldn't find key HF_TOKEN in Secret"),
    ("volume-missing", "starting", 'starting: MountVolume.SetUp failed for volume "ca" : configmap "company-ca" not'),
    ("quota-exceeded", "queue", "exceeded quota: team, requested: requests.cpu=10m"),
    ("quota-needs-limits", "refused", "must specify limits.cpu"),
    ("pod-security", "refused", 'violates PodSecurity "restricted:latest"'),
    ("account-missing", "refused", 'serviceaccount "nobody" not found'),
    ("limit-range", "refused", "maximum memory usage per Container is 32Mi"),
    ("queue-no-quota", "queue", "waiting for quota in scenes: couldn't assign flavors to pod set main"),
    ("queue-missing", "queue", "waiting for quota in nowhere: LocalQueue nowhere doesn't exist"),
    ("preempted", "queue", "waiting for quota in scenes: The workload is deactivated"),
]


@pytest.mark.parametrize(("name", "kind", "text"), WAITS)
def test_why_it_waits(name: str, kind: str, text: str) -> None:
    seen = scene(name)
    assert seen.status().phase == "pending"
    assert seen.status().started is None
    why = seen.why()
    assert why.kind == kind
    assert text in why.text
    assert why.is_failure is (kind in ("image", "later", "refused", "config"))


def test_every_recorded_scene_is_looked_at() -> None:
    named = {name for name, *_ in (*ENDINGS, *WAITS)} | {"running", "being-deleted", "preempted-saving"}
    assert {path.stem for path in GOLDEN.glob("*.json")} == named


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ("CreateContainerError", 'failed to reserve container name "train_p_0": name is reserved for "1f"', "later"),
        ("CreateContainerError", "context deadline exceeded", "later"),
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition", "later"),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root", "config"),
        ("CreateContainerError", 'path "/cache" is mounted on "/" but it is not a shared mount', "config"),
        ("ErrImagePull", "unexpected status from GET request: 500 Internal Server Error", "later"),
        ("ErrImagePull", "failed to copy: httpReadSeeker: failed open: unexpected EOF", "later"),
        ("ErrImagePull", "dial tcp 10.0.0.1:443: connect: no route to host", "later"),
        ("ErrImagePull", "registry.example:5000/x: not found", "image"),
    ],
)
def test_a_node_or_registry_that_is_slow_is_no_mistake_of_anybody(reason: str, message: str, kind: str) -> None:
    seen = scene("image-not-found")
    waiting = seen.pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]
    waiting.update(reason=reason, message=message)
    assert seen.why().kind == kind


@pytest.mark.parametrize(
    "message", ["Internal error occurred: etcdserver: request timed out", "context deadline exceeded"]
)
def test_a_server_that_is_slow_refuses_nothing(message: str) -> None:
    seen = scene("pod-security")
    for item in seen.events:
        item["message"] = f"Error creating: {message}"
    assert seen.why().kind == "queue"


def test_before_anything_is_known() -> None:
    """Events come later, and not everybody may read them."""
    seen = scene("unschedulable")
    assert Scene(seen.job, [], [], None).why() == Reason("starting", "its pods are being made")
    bare = json.loads(json.dumps(seen.pods[0]))
    bare["status"] = {"phase": "Pending"}
    assert Scene(seen.job, [bare], [], None).why() == Reason("starting", "starting")
    assert Scene(scene("preempted").job, [], [], None).why().text == "waiting for quota in scenes"


def test_a_back_off_of_an_older_cluster_forgets_why() -> None:
    seen = scene("image-registry-busy")
    waiting = seen.pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]
    waiting["message"] = 'Back-off pulling image "localhost:5055/busy:1"'
    assert seen.why().kind == "later"
    assert "429 Too Many Requests" in seen.why().text
    seen.events = []
    assert "Back-off pulling image" in seen.why().text


def test_the_tag_of_an_image_says_nothing_about_its_registry() -> None:
    seen = scene("image-first-failure")
    text = json.dumps(seen.pods[0]).replace("missing:2", "missing-429:503")
    seen.pods = [json.loads(text)]
    assert seen.why().kind == "image"


def test_of_a_group_the_pod_in_trouble_is_named() -> None:
    fine, stuck = scene("volume-missing"), scene("unschedulable")
    assert Scene(stuck.job, [*fine.pods, *stuck.pods], [], None).why().kind == "unschedulable"


def test_the_last_event_of_the_pod_itself_counts() -> None:
    def event(reason: str, second: int, name: str = "p") -> Object:
        return {"reason": reason, "message": reason, "lastTimestamp": f"2026-11-26T21:49:{second:02}Z",
                "involvedObject": {"name": name}}  # fmt: skip

    def why(*events: Object) -> str:
        return Scene(scene("volume-missing").job, [pod], list(events), None).why().text

    pod = scene("volume-missing").pods[0]
    pod["metadata"]["name"] = "p"
    assert why(event("FailedMount", 1), event("Pulling", 2)).startswith("pulling ")
    assert why(event("Pulling", 1), event("Pulled", 2)) == "starting"
    assert why(event("Pulled", 1), event("FailedMount", 2)) == "starting: FailedMount"
    assert why(event("Pulling", 1), event("Pulled", 2, name="its peer")).startswith("pulling ")


# --- when waiting is over ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "failing_s", "pending_s", "failure"),
    [
        ("image", 89, 1e6, None),
        ("image", 91, 91, "image"),
        ("config", 91, 91, "config"),
        ("refused", 91, 91, "config"),
        ("later", 599, 599, None),
        ("later", 601, 601, "infrastructure"),
        ("unschedulable", 0, 3599, None),
        ("unschedulable", 0, 3601, "infrastructure"),
        ("starting", 0, 3601, "infrastructure"),
        ("queue", 0, 1e9, None),
    ],
)
def test_patience(kind: Any, failing_s: float, pending_s: float, failure: str | None) -> None:
    said = hopeless(Reason(kind, "why"), failing_s, pending_s, PATIENCE)
    assert (said.failure if said is not None else None) == failure
    assert said is None or said.message == "why"


def test_time_in_the_queue_does_not_count() -> None:
    queued, unschedulable = scene("queue-no-quota").job, scene("unschedulable").job
    assert pending_since(queued) == unix(queued["metadata"]["creationTimestamp"])
    unschedulable["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    assert pending_since(unschedulable) == unix(unschedulable["status"]["startTime"])


def test_the_agent_that_is_to_blame_is_not_the_first_that_lost_its_peer() -> None:
    """Within the same second, or even a second before the one that failed by itself is reported."""
    lost = Termination(failure="infrastructure", code=21, message="peer lost")
    cause = Termination(failure="out_of_memory", code=137, rank=3, message="killed for memory")
    asked = Termination(failure="stopped", code=20)
    done = Termination(failure="committed", code=0)
    assert first_failure([(5.0, lost), (5.0, cause), (4.0, done)]) == cause
    assert first_failure([(4.0, lost), (5.0, cause), (6.0, asked)]) == cause
    assert first_failure([(7.0, asked), (5.0, lost)]) == lost
    assert first_failure([(4.0, done)]) == done
