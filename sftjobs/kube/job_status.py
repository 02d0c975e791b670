"""A Job and its pods -> what the controller needs to know. Pure; `backend/kubernetes.py` gathers what it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftjobs import names
from sftjobs.attempts import Termination
from sftjobs.backend.base import JobStatus
from sftjobs.backend.endings import first_failure, past_deadline
from sftjobs.kube.api import Object
from sftjobs.kube.endings import pod_ending
from sftjobs.kube.objects import NOT_STARTED, conditions, container_state, is_over, label, name_of, unix
from sftjobs.kube.reasons import Reason
from sftjobs.names import Exit

_COUNTS_OF_STARTED = ("ready", "terminating", "failed", "succeeded")
"""In the status of a Job: its pods have been there."""
LOST_S = 300.0
"""A pod that has not ended so long after its grace is on a node that does not answer, and may stay there for ever. It
may even be at work, cut off from the cluster: it then holds the LEASE of its key, and no other one is started."""
LINGER_S = 60.0
"""A pod that has not ended so long after its agent has another container that does not end by itself (a mesh)."""


@dataclass(frozen=True)
class Patience:
    """How long a Job may fail to start."""

    image_s: float
    pull_s: float
    """For a registry that is busy or away, or a node that does not come to it."""
    start_s: float


def job_status(job: Object, pods: Sequence[Object], now: float) -> JobStatus:
    """`pods` are all pods of the Job that exist."""
    known = _known(job, pods)
    done = conditions(job)
    if ("Failed" in done or "Complete" in done) and all(is_over(pod) for pod in pods):
        return _ended(job, pods, known, now)
    lost = _lost(pods, now)
    if "deletionTimestamp" in job["metadata"]:
        if lost is not None:
            return JobStatus(**known, phase="ended", termination=lost, unheard=True)
        return JobStatus(**known, phase="running", detail="being deleted")
    if lost is not None:
        return JobStatus(**known, phase="running", detail=lost.message, hopeless=lost, unheard=True)
    word = _lingering(pods, now)
    if word is not None:
        detail = "its agent has ended, but another container of its pod has not"
        return JobStatus(**known, phase="running", detail=detail, hopeless=word)
    if any(container_state(pod)[0] in ("running", "terminated") for pod in pods):
        preempted = job["spec"].get("suspend")
        return JobStatus(**known, phase="running", detail="being preempted: saving" if preempted else "")
    if not pods and any(job.get("status", {}).get(count) for count in _COUNTS_OF_STARTED):
        return JobStatus(**known, phase="running", detail="its pods have vanished")  # the Job will say so in a moment
    return JobStatus(**known, phase="pending")


def is_lost(pod: Object, now: float) -> bool:
    """True if nobody is going to say how the pod ended: its node is gone, or cannot end it."""
    until = unix(pod["metadata"].get("deletionTimestamp"))  # the grace is in it
    return until is not None and not is_over(pod) and now - until > LOST_S


def orphan_status(name: str, pods: Sequence[Object]) -> JobStatus:
    """A Job that is gone while pods of it still end: nothing else may be started for its stage yet."""
    first = pods[0]
    return JobStatus(
        name=name,
        stage=label(first, names.LABEL_STAGE),
        attempt=int(label(first, names.LABEL_ATTEMPT) or 0),
        phase="running",
        detail="its job is deleted, its pods are ending",
    )


def hopeless(reason: Reason, failing_s: float, pending_s: float, patience: Patience) -> Termination | None:
    """What the attempt of a pending Job ends with, if it has been waited for long enough."""
    if reason.kind == "image" and failing_s > patience.image_s:
        return Termination(failure="image", code=Exit.BAD_CONFIG, message=reason.text)
    if reason.kind in ("refused", "config") and failing_s > patience.image_s:
        return Termination(failure="config", code=Exit.BAD_CONFIG, message=reason.text)
    late = reason.kind == "later" and failing_s > patience.pull_s
    if late or (reason.kind in ("unschedulable", "starting") and pending_s > patience.start_s):
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=reason.text)
    return None


def pending_since(job: Object) -> float | None:
    """Unix time at which the Job was allowed to start."""
    return unix(job.get("status", {}).get("startTime")) or unix(job["metadata"].get("creationTimestamp"))


def _known(job: Object, pods: Sequence[Object]) -> dict[str, Any]:
    times = _times(job, pods)
    return {
        "name": name_of(job),
        "stage": label(job, names.LABEL_STAGE),
        "attempt": int(label(job, names.LABEL_ATTEMPT)),
        "started": times.get("started"),
        "times": times,
    }


def _times(job: Object, pods: Sequence[Object]) -> Mapping[str, float]:
    """The first of each, over the pods; `finished` is the last."""
    states = [container_state(pod) for pod in pods]
    scheduled = [
        unix(item.get("lastTransitionTime"))
        for pod in pods
        if (item := conditions(pod).get("PodScheduled")) is not None
    ]
    started = [unix(details.get("startedAt")) for state, details in states if state not in ("waiting", NOT_STARTED)]
    finished = [unix(details.get("finishedAt")) for state, details in states if state == "terminated"]
    found = {
        "created": unix(job["metadata"].get("creationTimestamp")),
        "admitted": unix(job.get("status", {}).get("startTime")),
        "scheduled": min((t for t in scheduled if t is not None), default=None),
        "started": min((t for t in started if t), default=None),  # of what could not be started it is 1970
        "finished": max((t for t in finished if t is not None), default=None),
    }
    return {name: value for name, value in found.items() if value is not None}


def _ended(job: Object, pods: Sequence[Object], known: Mapping[str, Any], now: float) -> JobStatus:
    verdict = conditions(job).get("Failed") or conditions(job)["Complete"]
    words = [(_finished_at(pod, now), pod_ending(pod)) for pod in pods]
    failed = verdict["type"] == "Failed"
    unheard = not words or (failed and all(word.failure == "committed" for _, word in words))
    word = _without_pods(verdict) if unheard else first_failure(words)
    deadline = float(job["spec"]["activeDeadlineSeconds"]) if verdict.get("reason") == "DeadlineExceeded" else None
    if deadline is not None:
        word = past_deadline(deadline, word)
    ended = unix(verdict.get("lastTransitionTime")) or now
    finished = known["times"].get("finished", ended)
    return JobStatus(
        **known, phase="ended", termination=word, finished=finished, unheard=unheard, past_deadline_s=deadline
    )


def _lost(pods: Sequence[Object], now: float) -> Termination | None:
    lost = [pod for pod in pods if is_lost(pod, now)]
    if not lost or not all(is_over(pod) or pod in lost for pod in pods):
        return None
    node = lost[0]["spec"].get("nodeName", "unknown")
    text = f"pod {name_of(lost[0])} has not ended {LOST_S:.0f} s after its grace: node {node} does not answer"
    return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=text)


def _lingering(pods: Sequence[Object], now: float) -> Termination | None:
    """The last word of agents whose pods go on without them; pods that are being deleted end by themselves."""
    if not pods or any("deletionTimestamp" in pod["metadata"] for pod in pods):
        return None
    if any(container_state(pod)[0] != "terminated" for pod in pods if not is_over(pod)):
        return None
    words = [(_finished_at(pod, now), pod_ending(pod)) for pod in pods]
    if all(is_over(pod) for pod in pods) or now - max(moment for moment, _ in words) < LINGER_S:
        return None
    return first_failure(words)


def _without_pods(verdict: Object) -> Termination:
    """The pods are gone, and what they said with them."""
    if verdict["type"] == "Complete":
        return Termination(failure="committed", code=Exit.COMMITTED)
    message = str(verdict.get("message") or verdict.get("reason") or "")
    if "DisruptionTarget" in message:
        return Termination(failure="stopped", code=Exit.STOPPED, message=f"the node was taken away: {message}")
    text = f"a pod vanished before its last word was read: {message}"
    return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=text)


def _finished_at(pod: Object, now: float) -> float:
    """When a pod ended; one that does not say is no more to blame than the last."""
    state, details = container_state(pod)
    return (unix(details.get("finishedAt")) if state == "terminated" else None) or now
