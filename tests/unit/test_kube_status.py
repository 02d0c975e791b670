"""How a Job stands and how it ended, by what a real cluster has said: tests/golden/kube/."""

import json

import pytest

from sftjobs.attempts import Termination
from sftjobs.backend.endings import first_failure
from sftjobs.kube.endings import pod_ending
from sftjobs.kube.job_status import orphan_status
from sftjobs.kube.objects import unix
from tests.support.recorded import NOW, Scene, scene

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
