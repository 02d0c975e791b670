"""Two pods with two ranks each train all weights with ZeRO-3: told to stop, killed, cut off, the end is the same."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from sftjobs import names
from tests.support import kueue
from tests.support.cluster_run import ClusterRun, pod_of
from tests.support.container_faults import kill_rank
from tests.support.disturbed import attempt_lost, in_the_middle
from tests.support.first_step import first_step
from tests.support.lab import Cluster
from tests.support.whole_run import WholeRun

CHANGES = [
    ("train: {threads_per_process: 1", "train: {nodes: 2, processes_per_node: 2, threads_per_process: 1"),
    ("method: lora", "method: full, zero: {stage: 3}"),
    ("learning_rate: 1e-2", "learning_rate: 1e-3"),
    ("max_steps: 1200", "max_steps: 230"),
]


@pytest.fixture(scope="module")
def calm(inputs: WholeRun, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """The same training as processes on this machine."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    shutil.copytree(inputs.folder, folder, ignore=shutil.ignore_patterns(".sftjobs", "output-*"))
    whole = WholeRun(folder)
    for old, new in CHANGES:
        whole.change(old, new)
    whole.cli("run", timeout_s=600)
    return whole


@pytest.fixture(scope="class")
def run(cluster: Cluster, new_run: Callable[..., ClusterRun]) -> Iterator[ClusterRun]:
    """In a queue, where there is Kueue."""
    run = new_run("nodes", changes=CHANGES)
    with kueue.queue(cluster, run.namespace) if cluster.has_kueue() else nullcontext():
        if cluster.has_kueue():
            run.values["queue"] = kueue.QUEUE
        run.install()
        yield run


@contextmanager
def preempted(run: ClusterRun, job: str) -> Iterator[None]:
    """By Kueue, for a Job that is more urgent; without Kueue by what it does to a Job then."""
    if run.cluster.has_kueue():
        with kueue.urgent_job(run.cluster, run.namespace, cpu="1300m"):
            yield
    else:
        _suspend(run, job, True)
        yield
        _suspend(run, job, False)


def _suspend(run: ClusterRun, job: str, yes: bool) -> None:
    patch = json.dumps({"spec": {"suspend": yes}})
    run.cluster.kubectl("patch", "job", job, "-n", run.namespace, "--type=merge", "-p", patch)


class TestTwoNodes:
    def test_preempted_twice_before_the_first_save(self, run: ClusterRun) -> None:
        """Each time before a step is done: nothing is charged, and nothing is left to go on from."""
        for number in (0, 1):
            run.cluster.kubectl("delete", "pod", pod_of(run, 1), "-n", run.namespace)
            result = run.until(lambda number=number: run.whole.attempts("train")[number].result, "the attempt's end")
            assert result.termination.failure == "stopped", result.model_dump_json(indent=1)
            assert not run.whole.saved_steps()
            run.until(lambda number=number: len(run.whole.attempts("train")) > number + 1, "another attempt")

    def test_pods_are_a_group(self, run: ClusterRun) -> None:
        """They find each other by the names that the headless Service gives."""
        pods: list[dict[str, Any]] = run.until(lambda: len(found := run.pods("train")) == 2 and found, "two pods")
        assert {pod["spec"]["subdomain"] for pod in pods} == {names.service_name(run.name)}
        run.wait_for_step(3)
        logs = [run.cluster.kubectl("logs", pod_of(run, node), "-n", run.namespace) for node in (0, 1)]
        assert "node 1 is here" in logs[0]
        assert "stage train, attempt 2, node 1" in logs[1]

    def test_first_step_soon_after_the_pods_run(self, run: ClusterRun) -> None:
        """What it takes beyond loading libraries, of which the goal on an idle machine is 15 s."""
        times = first_step(run)
        print(
            f"first step {times.step:.1f} s after the last pod ran: agents {times.agents:.1f} s, "
            f"libraries {times.libraries:.1f} s, the rest {times.rest:.1f} s"
        )
        assert 0 < times.libraries < times.step
        assert times.rest < 60, "no machine is that busy"

    def test_node_drained_and_uncordoned(self, run: ClusterRun) -> None:
        """Both pods and the controller go; together they save once."""
        with attempt_lost(run, "stopped"), run.drained():
            assert not run.pods("train")

    def test_preempted_and_admitted_again(self, run: ClusterRun) -> None:
        """All pods save and go, and the same attempt goes on when there is room."""
        saved = in_the_middle(run)
        number = len(run.whole.attempts("train"))
        with preempted(run, run.whole.attempts("train")[-1].intent.job):
            run.until(lambda: not run.pods("train"), "both pods are gone")
            at_the_end = max(run.whole.saved_steps())
            assert at_the_end >= saved
        in_the_middle(run, since=at_the_end)
        assert len(run.whole.attempts("train")) == number, "another attempt was made"

    def test_one_pod_deleted_all_save(self, run: ClusterRun) -> None:
        with attempt_lost(run, "stopped"):
            run.cluster.kubectl("delete", "pod", pod_of(run, 1), "-n", run.namespace)

    def test_one_rank_of_the_other_pod_killed(self, run: ClusterRun) -> None:
        with attempt_lost(run, "infrastructure") as found:
            kill_rank(run, "train", 3)
        result = run.whole.attempts("train")[found.attempt].result
        assert result is not None
        assert result.termination.rank == 3, result
        assert "rank 3 was killed from outside" in result.termination.message

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, calm: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(calm)
