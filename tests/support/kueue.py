"""A queue of the real Kueue for a namespace of a test, and a Job that is more urgent than a run.

with queue(cluster, namespace):
    run.values["queue"] = QUEUE
    ...
    with urgent_job(cluster, namespace, cpu="1300m"):     # preempts what the quota has no room for beside it
        ...
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster_run import IMAGES
from tests.support.lab import Cluster, Object

QUEUE = "team"
CPU_QUOTA = "2"
WORKLOADS = "workloads.kueue.x-k8s.io"
DEPLOYMENT = ("deployment/kueue-controller-manager", "-n", "kueue-system")
_API = "kueue.x-k8s.io/v1beta1"
_URGENT = "urgent"


@contextmanager
def queue(cluster: Cluster, namespace: str) -> Iterator[None]:
    """The queue QUEUE with a quota for two stages at a time."""
    cluster.apply(*_objects(namespace))
    try:
        yield
    finally:
        kinds = ("clusterqueue", "resourceflavor", "workloadpriorityclass")
        named = [f"{kind}/{_cluster_wide(namespace)}" for kind in kinds]
        cluster.kubectl("delete", *named, "--wait=false", check=False)


@contextmanager
def urgent_job(cluster: Cluster, namespace: str, cpu: str) -> Iterator[None]:
    """A Job in the queue that goes before all others and asks for so much of CPU_QUOTA, until the block ends."""
    labels = {"kueue.x-k8s.io/queue-name": QUEUE, "kueue.x-k8s.io/priority-class": _cluster_wide(namespace)}
    cluster.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": _URGENT, "namespace": namespace, "labels": labels},
            "spec": {"suspend": True, "template": {"spec": _pod(cpu)}},
        }
    )
    try:
        yield
    finally:
        cluster.kubectl("delete", "job", _URGENT, "-n", namespace, "--cascade=foreground", check=False)


def workload(cluster: Cluster, namespace: str, job: str) -> str:
    """Name of the Workload of a Job."""
    found = cluster.get(WORKLOADS, namespace)
    owners = {
        owner["name"]: item["metadata"]["name"] for item in found for owner in item["metadata"]["ownerReferences"]
    }
    return str(owners[job])


def _cluster_wide(namespace: str) -> str:
    return f"ct-{namespace}"


def _pod(cpu: str) -> Object:
    limited = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": _URGENT,
                "image": IMAGES["controller"],
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "600"],
                "securityContext": limited,
                "resources": {"requests": {"cpu": cpu, "memory": "16Mi", "ephemeral-storage": "1Mi"}},
            }
        ],
    }


def _objects(namespace: str) -> list[Object]:
    name = _cluster_wide(namespace)
    quota = [
        {"name": "cpu", "nominalQuota": CPU_QUOTA},
        {"name": "memory", "nominalQuota": "8Gi"},
        {"name": "ephemeral-storage", "nominalQuota": "20Gi"},
    ]
    return [
        {"apiVersion": _API, "kind": "ResourceFlavor", "metadata": {"name": name}},
        {"apiVersion": _API, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": 1000},
        {
            "apiVersion": _API,
            "kind": "ClusterQueue",
            "metadata": {"name": name},
            "spec": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "preemption": {"withinClusterQueue": "LowerPriority"},
                "resourceGroups": [
                    {
                        "coveredResources": [one["name"] for one in quota],
                        "flavors": [{"name": name, "resources": quota}],
                    }
                ],
            },
        },
        {
            "apiVersion": _API,
            "kind": "LocalQueue",
            "metadata": {"name": QUEUE, "namespace": namespace},
            "spec": {"clusterQueue": name},
        },
    ]
