"""Why a Job has not started, in words, with the event behind it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sftjobs import names
from sftjobs.kube.api import Object
from sftjobs.kube.objects import NOT_STARTED, conditions, container_state, false_condition, happened, label

Kind = Literal["queue", "unschedulable", "image", "image-later", "refused", "config", "starting"]
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_LATER = (
    "429",
    "toomanyrequests",
    "too many requests",
    "timeout",
    "deadline exceeded",
    "connection reset",
    "503",
    "502",
)
"""In the message of a failed pull: the registry is busy or away, the name is not wrong."""
_DENIED = ("violates podsecurity", "denied the request", "is forbidden: error looking up service account")


@dataclass(frozen=True)
class Reason:
    """Why nothing runs yet."""

    kind: Kind
    """queue: Kueue or a quota; image-later: the registry may answer later; refused: pods are refused by the cluster;
    config: the container cannot be made as asked for."""
    text: str

    @property
    def is_failure(self) -> bool:
        """True if waiting will probably not help."""
        return self.kind in ("image", "image-later", "refused", "config")


def why_pending(job: Object, pods: Sequence[Object], events: Sequence[Object], workload: Object | None) -> Reason:
    """`pods` are those of the Job that are not over; `events` are about the Job and its pods."""
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
    for kind in ("Evicted", "QuotaReserved"):
        found = conditions(workload).get(kind) if kind == "Evicted" else false_condition(workload, kind)
        if found is not None and found.get("message"):
            return f"{text}: {found['message']}"
    return text


def _no_pods(events: Sequence[Object]) -> Reason:
    refused = _newest(events, "FailedCreate")
    if refused is None:
        return Reason("starting", "its pods are being made")
    text = f"its pods are refused: {refused}"
    return Reason("refused" if _any_of(_DENIED, refused) else "queue", text)


def _of_pod(pod: Object, events: Sequence[Object]) -> Reason:
    unscheduled = false_condition(pod, "PodScheduled")
    if unscheduled is not None:
        return Reason(
            "unschedulable", f"cannot be scheduled: {unscheduled.get('message') or unscheduled.get('reason')}"
        )
    state, details = container_state(pod)
    reason = str(details.get("reason") or "")
    message = str(details.get("message") or reason)
    if reason in IMAGE_REASONS:
        image = pod["spec"]["containers"][0]["image"]
        # a back-off forgets why: the event of the last failure says it
        cause = _newest(events, "Failed") or message
        text = f"image {image} cannot be pulled: {cause if reason == 'ImagePullBackOff' else message}"
        return Reason("image-later" if _any_of(_LATER, text.replace(image, "")) else "image", text)
    if reason in ("CreateContainerConfigError", "CreateContainerError"):
        return Reason("config", f"the container cannot be made: {message}")
    for trouble in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"):
        found = _newest(events, trouble)
        if found is not None and state in ("waiting", NOT_STARTED):
            return Reason("starting", f"starting: {found}")
    if _newest(events, "Pulling") is not None and _newest(events, "Pulled") is None:
        return Reason("starting", f"pulling {pod['spec']['containers'][0]['image']}")
    return Reason("starting", "starting")


def _newest(events: Sequence[Object], reason: str) -> str | None:
    """Message of the newest event of this reason."""
    found = [event for event in events if event.get("reason") == reason]
    return str(max(found, key=happened).get("message") or "") if found else None


def _any_of(marks: Sequence[str], text: str) -> bool:
    return any(mark in text.lower() for mark in marks)
