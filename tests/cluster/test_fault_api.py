"""The API server is away. Training needs it for nothing; the controller waits."""

import time
from collections.abc import Callable

import pytest

from tests.support.cluster_run import ClusterRun
from tests.support.disturbed import attempt_kept, newest_save
from tests.support.whole_run import WholeRun

AWAY_S = 60.0


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    run = new_run("api", changes=[("checkpoint_every_s: 1", "checkpoint_every_s: 2")])
    run.install()
    return run


class TestApiServer:
    """Two faults in one run."""

    def test_stopped_for_a_minute(self, run: ClusterRun) -> None:
        """Connections are refused."""
        with attempt_kept(run) as saved:
            run.cluster.faults.stop("apiserver")
            try:
                time.sleep(AWAY_S)
                assert newest_save(run) > saved, "training did not go on"
            finally:
                run.cluster.faults.start("apiserver")
            run.cluster.wait_healthy()

    def test_frozen_for_a_minute(self, run: ClusterRun) -> None:
        """Connections stay open and nothing answers; at whatever the run is doing by then."""
        run.cluster.faults.freeze("apiserver")
        try:
            time.sleep(AWAY_S)
        finally:
            run.cluster.faults.thaw("apiserver")
        run.cluster.wait_healthy()

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        assert all(attempts == ["committed"] for attempts in run.whole.endings().values()), run.whole.endings()
        run.assert_as_undisturbed(undisturbed)
