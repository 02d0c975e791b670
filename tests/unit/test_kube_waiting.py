"""Why a Job has not started, and for how long that is waited for, by what a real cluster has said."""

import json
from pathlib import Path
from typing import Any

import pytest

from sftjobs.kube.api import Object
from sftjobs.kube.job_status import Patience, hopeless, pending_since
from sftjobs.kube.objects import unix
from sftjobs.kube.reasons import Reason
from tests.support.recorded import GOLDEN, Scene, scene

PATIENCE = Patience(image_s=90, pull_s=600, start_s=3600)


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
    """Here or beside it, in test_kube_status.py."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_kube_*.py"))
    assert [path.stem for path in GOLDEN.glob("*.json") if f'"{path.stem}"' not in tests] == []


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
