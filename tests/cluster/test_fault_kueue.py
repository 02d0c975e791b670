"""A queue between the Job and the node: the real Kueue admits, preempts, and is away."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import kueue
from tests.support.cluster_run import ClusterRun
from tests.support.disturbed import in_the_middle
from tests.support.lab import Cluster
from tests.support.whole_run import WholeRun

AWAY_S = 60.0


@pytest.fixture(scope="class")
def run(cluster: Cluster, new_run: Callable[..., ClusterRun]) -> Iterator[ClusterRun]:
    if not cluster.has_kueue():
        pytest.skip("this cluster has no Kueue")
    run = new_run("kueue")
    with kueue.queue(cluster, run.namespace):
        run.values["queue"] = kueue.QUEUE
        run.install()
        yield run


def set_active(run: ClusterRun, name: str, active: bool) -> None:
    patch = json.dumps({"spec": {"active": active}})
    run.cluster.kubectl("patch", "workload", name, "-n", run.namespace, "--type=merge", "-p", patch)


class TestKueue:
    """Two faults in one run."""

    def test_preempted_and_admitted_again(self, run: ClusterRun) -> None:
        """It saves, its pods go, and the same Job goes on from what it saved."""
        saved = in_the_middle(run)
        name = kueue.workload(run.cluster, run.namespace, run.whole.attempts("train")[-1].intent.job)
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
        run.cluster.kubectl("scale", *kueue.DEPLOYMENT, "--replicas=0")
        try:
            run.until(lambda: run.stage_state("train") == "succeeded", "training has ended")
            time.sleep(AWAY_S)
            assert not run.whole.digests().get("eval-tuned")
        finally:
            run.cluster.kubectl("scale", *kueue.DEPLOYMENT, "--replicas=1")
            run.cluster.kubectl("rollout", "status", *kueue.DEPLOYMENT, "--timeout=180s", timeout_s=200)

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(undisturbed)
        assert not run.cluster.get(kueue.WORKLOADS, run.namespace)
