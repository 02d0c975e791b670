"""A stage that uses more than it may, and a grace that is too short."""

import threading
from collections.abc import Callable

import pytest

from sftjobs import names
from tests.support.cluster_run import ClusterRun
from tests.support.container_faults import agent_of, fill_scratch, flood_log
from tests.support.disturbed import attempt_kept, attempt_lost
from tests.support.faultproxy import FOREVER, Fault, Forward, Request, Response
from tests.support.pod_store import PodStore
from tests.support.whole_run import WholeRun

FLOOD_MB = 200


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    changes = [
        ("limits: {grace_s: 20}", "limits: {grace_s: 1}"),
        ("out_of_memory: 5", "out_of_memory: 5, user_error: 1"),
    ]
    run = new_run("limits", changes=changes)
    run.install()
    return run


class TestLimits:
    """Three faults in one run."""

    def test_grace_too_short_for_the_upload(self, run: ClusterRun, s3: PodStore) -> None:
        """What cannot be uploaded in time is lost; the next attempt goes on from what was there before."""
        released = threading.Event()

        def slow(request: Request, forward: Forward) -> Response:
            released.wait(60)
            return forward(request)

        with attempt_lost(run, "stopped", "infrastructure"):
            with s3.fault([Fault("PUT", f"/{names.CHECKPOINT}/", slow, FOREVER)]):
                run.cluster.kubectl("delete", "pod", run.running_pod("train"), "-n", run.namespace)
                run.until(lambda: not run.pods("train"), "the pod is gone")
            released.set()

    def test_log_flood(self, run: ClusterRun) -> None:
        """The store has it in chunks, the node keeps what it keeps, training does not stop for it."""
        with attempt_kept(run):
            flood_log(run, "train", FLOOD_MB)
        attempt = len(run.whole.attempts("train")) - 1
        prefix = names.log_prefix(run.whole.run_id(), "train", attempt, 0)
        run.until(
            lambda: sum(entry.size for entry in run.whole.store.list(prefix)) > FLOOD_MB * 900_000,
            "the log is stored",
            120,
        )

    def test_more_than_the_ephemeral_storage(self, run: ClusterRun) -> None:
        """The kubelet evicts the pod: a mistake of the user, whose retries are up to him, and said with a way out."""
        with attempt_lost(run, "user") as lost:
            for rank in agent_of(run, "train").children():
                rank.suspend()  # the kubelet measures now and then; training must not end before that
            fill_scratch(run, "train", mebibytes=1400)
        result = run.whole.attempts("train")[lost.attempt].result
        assert result is not None and "raise disk_gib" in result.termination.message

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(undisturbed)
