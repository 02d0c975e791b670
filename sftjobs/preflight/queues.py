"""The Kueue queue of stage Jobs, if cluster.yaml names one."""

from sftjobs.kube.api import ApiError
from sftjobs.kube.objects import false_condition
from sftjobs.preflight.finding import Finding, failed, not_checked, ok
from sftjobs.release.release import Release

CHECK = "queue"


def check_queue(release: Release) -> Finding:
    """It is there, and takes Jobs."""
    queue, api = release.cluster.queue, release.api
    if queue is None:
        return ok(CHECK, "none is named: stages start as soon as there is room")
    try:
        found = api.get("localqueues", queue)
    except ApiError as error:
        if error.status == 403:
            return not_checked(CHECK, str(error), "the preflight needs the right to get LocalQueues")
        if error.status != 404:
            return not_checked(CHECK, str(error), "run `helm test` again")
        if error.reason != "NotFound" or "could not find the requested resource" in str(error):
            todo = "remove `queue` from cluster.yaml, or install Kueue"
            return failed(CHECK, f"queue {queue} is named, and this cluster has no Kueue: no stage would start", todo)
        todo = f"name one of `kubectl get localqueues -n {api.namespace}`, or have it made"
        return failed(CHECK, f"namespace {api.namespace} has no LocalQueue {queue}: no stage would start", todo)
    inactive = false_condition(found, "Active")
    if inactive is not None:
        text = f"LocalQueue {queue} takes no Jobs: {inactive.get('message') or inactive.get('reason')}"
        return failed(CHECK, text, f"see `kubectl describe clusterqueue {found['spec'].get('clusterQueue', '')}`")
    waiting = found.get("status", {}).get("pendingWorkloads", 0)
    return ok(CHECK, f"LocalQueue {queue} takes Jobs, {waiting} are waiting in it")
