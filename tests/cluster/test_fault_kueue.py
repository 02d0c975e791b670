"""A queue between the Job and the node: the real Kueue admits, preempts, and is away."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.cluster_run import ClusterRun
from tests.support.disturbed import in_the_middle
from tests.support.lab import Cluster, Object
from tests.support.whole_run import WholeRun

AWAY_S = 60.0
KUEUE = ("deployment/kueue-controller-manager", "-n", "kueue-system")
_API = "kueue.x-k8s.io/v1beta1"


def queue_objects(namespace: str) -> list[Object]:
    """A queue of a namespace with a quota for two stages at a time; the cluster-wide ones carry its name."""
    name = f"ct-{namespace}"
    quota = [{"name": "cpu", "nominalQuota": "2"}, {"name": "memory", "nominalQuota": "8Gi"}]
    return [
        {"apiVersion": _API, "kind": "ResourceFlavor", "metadata": {"name": name}},
        {
            "apiVersion": _API,
            "kind": "ClusterQueue",
            "metadata": {"name": name},
            "spec": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceGroups": [
                    {
                        "coveredResources": ["cpu", "memory", "ephemeral-storage"],
                        "flavors": [
                            {
                                "name": name,
                                "resources": [*quota, {"name": "ephemeral-storage", "nominalQuota": "20Gi"}],
                            }
                        ],
                    }
                ],
            },
        },
        {
            "apiVersion": _API,
            "kind": "LocalQueue",
            "metadata": {"name": "team", "namespace": namespace},
            "spec": {"clusterQueue": name},
        },
    ]


@pytest.fixture(scope="class")
def run(cluster: Cluster, new_run: Callable[..., ClusterRun]) -> Iterator[ClusterRun]:
    if not cluster.has_kueue():
        pytest.skip("this cluster has no Kueue")
    run = new_run("kueue")
    cluster.apply(*queue_objects(run.namespace))
    run.values["queue"] = "team"
    run.install()
    yield run
    name = f"ct-{run.namespace}"
    cluster.kubectl("delete", f"clusterqueue/{name}", f"resourceflavor/{name}", "--wait=false", check=False)


def workload(run: ClusterRun, stage: str) -> str:
    """Name of the Workload of the stage's newest Job."""
    job = run.whole.attempts(stage)[-1].intent.job
    found = run.cluster.get("workloads.kueue.x-k8s.io", run.namespace)
    owners = {
        owner["name"]: item["metadata"]["name"] for item in found for owner in item["metadata"]["ownerReferences"]
    }
    return str(owners[job])


def set_active(run: ClusterRun, name: str, active: bool) -> None:
    patch = json.dumps({"spec": {"active": active}})
    run.cluster.kubectl("patch", "workload", name, "-n", run.namespace, "--type=merge", "-p", patch)


class TestKueue:
    """Two faults in one run."""

    def test_preempted_and_admitted_again(self, run: ClusterRun) -> None:
        """It saves, its pods go, and the same Job goes on from what it saved."""
        saved = in_the_middle(run)
        name = workload(run, "train")
        set_active(run, name, active=False)
        run.until(lambda: not run.pods("train"), "the pod is gone")
        at_the_end = max(run.whole.saved_steps())
        assert at_the_end >= saved
        time.sleep(5)
        assert not run.pods("train"), "it runs without quota"
        set_active(run, name, active=True)
        in_the_middle(run, since=at_the_end)

    def test_kueue_away_for_a_minute(self, run: ClusterRun) -> None:
        """From the end of training on no Job can be made: its webhook fails closed."""
        in_the_middle(run)
        run.cluster.kubectl("scale", *KUEUE, "--replicas=0")
        try:
            run.until(lambda: run.stage_state("train") == "succeeded", "training has ended")
            time.sleep(AWAY_S)
            assert not run.whole.digests().get("eval-tuned")
        finally:
            run.cluster.kubectl("scale", *KUEUE, "--replicas=1")
            run.cluster.kubectl("rollout", "status", *KUEUE, "--timeout=180s", timeout_s=200)

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(undisturbed)
        assert not run.cluster.get("workloads.kueue.x-k8s.io", run.namespace)
