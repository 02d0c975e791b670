"""The store is away, refuses writes, or does not know the credentials."""

import time
from collections.abc import Callable

import pytest

from sftjobs import names
from sftjobs.names import Exit
from tests.support.cluster_run import ClusterRun
from tests.support.disturbed import in_the_middle, newest_save
from tests.support.pod_store import SECRET, PodStore
from tests.support.whole_run import WholeRun

AWAY_S = 60.0


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    return new_run("store", secret={**SECRET, "TEST_SECRET_KEY": "not-the-key"})


class TestStore:
    """Five faults in one run."""

    def test_wrong_credentials(self, run: ClusterRun) -> None:
        """Refused at once and said where people look; with the right ones `controller.again` is enough."""
        run.install()
        run.until(run.controller_failed, "the controller has given up", 120)
        last = run.controllers()[-1]["status"]["containerStatuses"][0]["state"]["terminated"]
        assert last["exitCode"] == Exit.BAD_CONFIG
        assert "refused" in last["message"], last
        assert SECRET["TEST_ACCESS_KEY"] not in last["message"]
        run.cluster.apply(run.secret(SECRET))
        run.upgrade({"controller.again": "1"})
        run.until(run.state, "the run is recorded")

    def test_down_while_the_controller_polls(self, run: ClusterRun, s3: PodStore) -> None:
        """From the moment in which data is committed: nobody but the controller has anything to do."""
        fallen = s3.falls_at("PUT", f"/{names.COMMIT}", answered=True)
        assert fallen.wait(300), "nothing was committed"
        time.sleep(AWAY_S)
        s3.proxy.clear()
        run.running_pod("train")

    def test_read_only_in_training(self, run: ClusterRun, s3: PodStore) -> None:
        """A changed policy is no passing trouble: the run stops, says so, and goes on when it is asked to."""
        in_the_middle(run)
        with s3.fault(s3.read_only()):
            run.until(run.controller_failed, "the controller has given up", 180)
            last = run.controllers()[-1]["status"]["containerStatuses"][0]["state"]["terminated"]
            assert "refused" in last["message"], last
        run.upgrade({"controller.again": "2"})
        in_the_middle(run)

    def test_down_in_training(self, run: ClusterRun, s3: PodStore) -> None:
        """Training goes on, to its end if it comes to it, and what it saves waits on the node."""
        saved = in_the_middle(run)
        attempts = len(run.whole.attempts("train"))
        with s3.fault(s3.down()):
            time.sleep(AWAY_S)
            assert newest_save(run) == saved
        run.until(
            lambda: newest_save(run) > saved or run.stage_state("train") == "succeeded", "what was saved is stored"
        )
        assert len(run.whole.attempts("train")) == attempts

    def test_down_while_a_stage_is_committed(self, run: ClusterRun, s3: PodStore) -> None:
        """Between content and COMMIT: the agent has done its work and cannot say so."""
        fallen = s3.falls_at("PUT", f"/{names.MANIFEST}", answered=False)
        assert fallen.wait(300), "nothing came to its end"
        time.sleep(AWAY_S)
        s3.proxy.clear()

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(undisturbed)
