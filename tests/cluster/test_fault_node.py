"""Faults of the node: kubelet, drain, eviction."""

import json
import time
from collections.abc import Callable

import pytest

from tests.support.cluster_run import ClusterRun
from tests.support.disturbed import attempt_kept, attempt_lost
from tests.support.whole_run import WholeRun

KUBELET_AWAY_S = 20.0


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    run = new_run("node")
    run.install()
    return run


class TestNode:
    """Three faults in one run; the one during which training goes on comes last."""

    def test_node_drained_and_uncordoned(self, run: ClusterRun) -> None:
        """Everything goes, the controller too; while the node is cordoned the run waits."""
        with attempt_lost(run, "stopped", "infrastructure"), run.drained():
            assert not run.pods("train")

    def test_controller_evicted(self, run: ClusterRun) -> None:
        """By the eviction API, as a drain or a descheduler does it; the Job must not count it as a failure."""
        with attempt_kept(run):
            evicted = run.until(run.controller, "the controller runs")
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": evicted, "namespace": run.namespace},
            }
            path = f"/api/v1/namespaces/{run.namespace}/pods/{evicted}/eviction"
            run.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
            run.until(lambda: run.controller() not in (None, evicted), "another controller")
        job = run.controller_job()
        assert job is not None and not job["status"].get("failed"), job

    def test_kubelet_killed_and_restarted(self, run: ClusterRun) -> None:
        """Containers do not need it: training goes on, and so does the run."""
        with attempt_kept(run):
            run.cluster.faults.kill("kubelet")
            try:
                time.sleep(KUBELET_AWAY_S)
            finally:
                run.cluster.faults.start("kubelet")
            run.cluster.wait_healthy()

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(undisturbed)
