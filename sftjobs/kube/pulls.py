"""When the image of a pod came to its node, by the kubelet's events. Pure."""

from collections.abc import Iterable, Mapping

from sftjobs.kube.api import Object
from sftjobs.kube.objects import happened

REASONS = {"Pulling": "pulling", "Pulled": "pulled"}


def pull_times(events: Iterable[Object]) -> Mapping[str, float]:
    """Unix times `pulling` (first try) and `pulled`; empty if the node had the image, or the events are gone."""
    found: dict[str, float] = {}
    for event in sorted(events, key=happened):
        name = REASONS.get(str(event.get("reason")))
        if name == "pulling":
            found.setdefault(name, happened(event))
        elif name is not None and "pulling" in found:
            found[name] = happened(event)
    return found if "pulled" in found else {}
