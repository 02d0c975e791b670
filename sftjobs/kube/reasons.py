"""Why a Job has not started, in words, with the event behind it. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sftjobs import names
from sftjobs.kube.api import Object
from sftjobs.kube.objects import (
    NOT_STARTED,
    conditions,
    container_state,
    false_condition,
    happened,
    image_of,
    label,
    name_of,
)

Kind = Literal["queue", "unschedulable", "image", "later", "refused", "config", "starting"]
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_BUSY = re.compile(
    r"\b(429|50[0234])\b|toomanyrequests|too many requests|timeout|timed out|deadline exceeded|\bEOF\b"
    r"|connection re(set|fused)|no route to host|network is unreachable|server misbehaving|temporary failure"
    r"|failed to reserve container name",
    re.IGNORECASE,
)
"""In the message of a failed pull: the registry is busy or away, the name is not wrong. In that of a container that is
not made: the node has not come to it, which happens where many start at once."""
_LATER = re.compile(
    r"exceeded quota|failed calling webhook|timeout|timed out|deadline exceeded|too many requests|etcdserver",
    re.IGNORECASE,
)
"""In the message of a refused pod: there may be room later, or whoever answered may be better. Everything else (Pod
Security, an admission policy, a LimitRange, a ServiceAccount that is not there) is refused again."""
_START_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "Pulling", "Pulled")


@dataclass(frozen=True)
class Reason:
    """Why nothing runs yet."""

    kind: Kind
    """queue: Kueue or a quota; later: registry or node may be better soon; refused: pods are refused by the cluster;
    config: the container cannot be made as asked for."""
    text: str

    @property
    def is_failure(self) -> bool:
        """True if waiting will probably not help."""
        return self.kind in ("image", "later", "refused", "config")


def why_pending(job: Object, pods: Sequence[Object], events: Sequence[Object], workload: Object | None) -> Reason:
    """`pods` are those of the Job that are not over; `events` are about the Job and its pods; `workload` is empty if
    Kueue has made none, and None if that is not known."""
    if job["spec"].get("suspend"):
        return Reason("queue", _queue(job, workload))
    if not pods:
        return _no_pods(events)
    reasons = [_of_pod(pod, events) for pod in pods]
    return next((reason for reason in reasons if reason.kind != "starting"), reasons[0])


def _queue(job: Object, workload: Object | None) -> str:
    queue = label(job, names.LABEL_QUEUE) or "a queue"
    text = f"waiting for quota in {queue}"
    if workload is None:
        return text
    if not workload:
        return f"{text}: Kueue has made no Workload for it; is Kueue running, and does it manage Jobs here?"
    for kind in ("Evicted", "QuotaReserved"):
        found = conditions(workload).get(kind) if kind == "Evicted" else false_condition(workload, kind)
        if found is not None and found.get("message"):
            return f"{text}: {found['message']}"
    return text


def _no_pods(events: Sequence[Object]) -> Reason:
    refused = _newest(events, "FailedCreate")
    if refused is None:
        return Reason("starting", "its pods are being made")
    message = str(refused.get("message") or "")
    return Reason("queue" if _LATER.search(message) else "refused", f"its pods are refused: {message}")


def _of_pod(pod: Object, events: Sequence[Object]) -> Reason:
    unscheduled = false_condition(pod, "PodScheduled")
    if unscheduled is not None:
        return Reason(
            "unschedulable", f"cannot be scheduled: {unscheduled.get('message') or unscheduled.get('reason')}"
        )
    about = [event for event in events if event["involvedObject"].get("name") == name_of(pod)]
    state, details = container_state(pod)
    reason = str(details.get("reason") or "")
    message = str(details.get("message") or reason)
    if reason in IMAGE_REASONS:
        return _image(image_of(pod), message, about)
    if reason in ("CreateContainerConfigError", "CreateContainerError"):
        return Reason("later" if _BUSY.search(message) else "config", f"the container cannot be made: {message}")
    return _starting(pod, about) if state in ("waiting", NOT_STARTED) else Reason("starting", "starting")


def _image(image: str, message: str, events: Sequence[Object]) -> Reason:
    """The kubelet's words about a failed pull. Before Kubernetes 1.32 a back-off forgets why: an event says it."""
    if message.startswith("Back-off") and "ErrImagePull: " in message:
        message = message.partition("ErrImagePull: ")[2]
    elif message.startswith("Back-off"):
        failed = [event for event in events if str(event.get("message")).startswith("Failed to pull image")]
        newest = _newest(failed, "Failed")
        message = str(newest["message"]) if newest is not None else message
    text = f"image {image} cannot be pulled: {message}"
    return Reason("later" if _BUSY.search(message.replace(image, "")) else "image", text)


def _starting(pod: Object, events: Sequence[Object]) -> Reason:
    last = _newest(events, *_START_EVENTS)
    if last is None or last["reason"] == "Pulled":
        return Reason("starting", "starting")
    if last["reason"] == "Pulling":
        return Reason("starting", f"pulling {image_of(pod)}")
    return Reason("starting", f"starting: {last.get('message')}")


def _newest(events: Sequence[Object], *reasons: str) -> Object | None:
    """The newest event of one of these reasons; of several in one second, the last that was listed."""
    found = [event for event in events if event.get("reason") in reasons]
    return max(reversed(found), key=happened) if found else None
