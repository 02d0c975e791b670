"""Reading plain Kubernetes objects: times, conditions, states of containers."""

from datetime import datetime
from typing import Any

from sftjobs import names
from sftjobs.kube.api import Object

NOT_STARTED = "not started"


def unix(text: str | None) -> float | None:
    """Unix time of a Kubernetes timestamp."""
    return None if text is None else datetime.fromisoformat(text).timestamp()


def conditions(thing: Object) -> dict[str, Object]:
    """Conditions that are true, by type."""
    return {item["type"]: item for item in thing.get("status", {}).get("conditions") or [] if item["status"] == "True"}


def false_condition(thing: Object, kind: str) -> Object | None:
    """A condition that is there and false."""
    found = thing.get("status", {}).get("conditions") or []
    return next((item for item in found if item["type"] == kind and item["status"] == "False"), None)


def container_state(pod: Object) -> tuple[str, Object]:
    """(`waiting` | `running` | `terminated` | `not started`, details) of the agent's container.

    It is named after the stage; a service mesh may have put another one beside it.
    """
    statuses = pod.get("status", {}).get("containerStatuses") or []
    ours = [item for item in statuses if item.get("name") == label(pod, names.LABEL_STAGE)] or statuses
    state: Object = ours[0].get("state") or {} if ours else {}
    for kind, details in state.items():
        return kind, details or {}
    return NOT_STARTED, {}


def image_of(pod: Object) -> str:
    """Image of the agent's container."""
    containers = pod["spec"]["containers"]
    ours = [item for item in containers if item["name"] == label(pod, names.LABEL_STAGE)] or containers
    return str(ours[0]["image"])


def is_over(pod: Object) -> bool:
    """True once nothing of the pod runs any more."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def name_of(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def label(thing: Object, key: str) -> str:
    """A label, or the empty string."""
    return str((thing["metadata"].get("labels") or {}).get(key, ""))


def annotation(thing: Object, key: str) -> str:
    """An annotation, or the empty string."""
    return str((thing["metadata"].get("annotations") or {}).get(key, ""))


def happened(event: Object) -> float:
    """Unix time at which an event was last seen; 0 if it does not say."""
    series: Any = event.get("series") or {}
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime")):
        if text:
            return unix(text) or 0.0
    return 0.0
