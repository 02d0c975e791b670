"""Who a run on Kubernetes belongs to: its release. Light, so that every verb can ask."""

import time

from sftjobs.runs import Owner

BACKEND = "kubernetes"
_NAMESPACE = "namespace "


def owner_of(release: str, namespace: str) -> Owner:
    """The same release of the same plan is the same run, whoever installs it and wherever its controller is."""
    return Owner(
        user=f"release {release}",
        host=f"{_NAMESPACE}{namespace}",
        backend=BACKEND,
        run=release,
        created=time.time(),
    )


def namespace_of(owner: Owner) -> str | None:
    """The namespace of the release that a run belongs to; None for a run of processes."""
    return owner.host.removeprefix(_NAMESPACE) if owner.backend == BACKEND else None
