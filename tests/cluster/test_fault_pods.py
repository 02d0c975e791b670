"""Pods, Jobs and memory that go away under a run."""

from collections.abc import Callable

import pytest

from tests.support.cluster_run import ClusterRun
from tests.support.container_faults import run_out_of_memory
from tests.support.disturbed import attempt_kept, attempt_lost, in_the_middle
from tests.support.whole_run import WholeRun


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    run = new_run("pods", changes=[("memory_gib: 2", "memory_gib: 4")])
    run.install()
    return run


def delete_controller(run: ClusterRun, *how: str) -> None:
    """Delete its pod and wait for the one that takes over."""
    before = run.until(run.controller, "the controller runs")
    run.cluster.kubectl("delete", "pod", before, "-n", run.namespace, *how)
    run.until(lambda: run.controller() not in (None, before) or run.is_over(), "another controller")


class TestPods:
    """Nine faults in one run."""

    def test_controller_deleted_while_data_is_prepared(self, run: ClusterRun) -> None:
        run.running_pod("data")
        delete_controller(run)

    def test_stage_pod_deleted(self, run: ClusterRun) -> None:
        """It is told, saves and says so."""
        with attempt_lost(run, "stopped"):
            run.cluster.kubectl("delete", "pod", run.running_pod("train"), "-n", run.namespace)

    def test_stage_pod_deleted_by_force(self, run: ClusterRun) -> None:
        with attempt_lost(run, "infrastructure", "stopped"):
            pod = run.running_pod("train")
            run.cluster.kubectl("delete", "pod", pod, "-n", run.namespace, "--grace-period=0", "--force")

    def test_job_deleted_by_hand(self, run: ClusterRun) -> None:
        """What was asked for is still not done: the attempt gets its Job again, and goes on from what was saved."""
        saved, before = in_the_middle(run), run.running_pod("train")
        attempts = run.whole.attempts("train")
        run.cluster.kubectl("delete", "job", attempts[-1].intent.job, "-n", run.namespace)
        run.until(lambda: run.running_pod("train") != before, "another pod")
        in_the_middle(run, since=saved)
        assert len(run.whole.attempts("train")) == len(attempts)

    def test_rank_out_of_memory(self, run: ClusterRun) -> None:
        """The kernel takes the rank alone; the agent says why."""
        with attempt_lost(run, "out_of_memory"):
            run_out_of_memory(run, "train", "rank")

    def test_container_out_of_memory(self, run: ClusterRun) -> None:
        """The kernel takes process 1, and with it everything; the kubelet says why."""
        with attempt_lost(run, "out_of_memory"):
            run_out_of_memory(run, "train", "agent")

    def test_controller_deleted_by_force_in_training(self, run: ClusterRun) -> None:
        with attempt_kept(run):
            delete_controller(run, "--grace-period=0", "--force")

    def test_controller_deleted_in_evaluation(self, run: ClusterRun) -> None:
        run.running_pod("eval-tuned")
        delete_controller(run)

    def test_controller_deleted_in_the_comparison(self, run: ClusterRun) -> None:
        run.until(lambda: run.whole.attempts("compare"), "the comparison is asked for")
        delete_controller(run)

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(undisturbed)
