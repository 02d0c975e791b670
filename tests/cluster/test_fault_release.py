"""Releases that go, come back, and come twice."""

from collections.abc import Callable

import pytest

from sftjobs import names
from tests.support.cluster_run import ClusterRun
from tests.support.disturbed import in_the_middle
from tests.support.whole_run import WholeRun


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    run = new_run("release")
    run.install()
    return run


@pytest.fixture(scope="class")
def twin(run: ClusterRun, new_run: Callable[..., ClusterRun]) -> ClusterRun:
    return new_run("twin", prefix=run.namespace, name="twin")


class TestUninstallInTheMiddle:
    def test_uninstall_leaves_nothing_but_what_is_in_the_store(self, run: ClusterRun) -> None:
        saved = in_the_middle(run)
        run.uninstall()
        assert max(run.whole.saved_steps()) >= saved
        assert run.whole.digests().keys() >= {"data"}

    def test_install_again_resumes(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        saved = max(run.whole.saved_steps())
        run.install()
        run.wait_until_ended()
        log = run.whole.cli("logs", "whole", "train")
        resumed = [int(line.rpartition(" ")[2]) for line in log.splitlines() if "going on from the checkpoint" in line]
        assert resumed and min(resumed) >= saved, log[-2000:]
        assert run.whole.endings()["data"] == ["committed"], "data was prepared again"
        run.assert_as_undisturbed(undisturbed)


class TestTwoNames:
    """The same run under two names: one works, the other waits without pods and finds everything done."""

    def test_the_second_waits_without_pods(self, run: ClusterRun, twin: ClusterRun) -> None:
        in_the_middle(run)
        twin.install()
        twin.until(lambda: twin.stage_state("train") == "waiting", "the twin waits for the training of the other")
        assert not twin.cluster.get("pods", twin.namespace, names.LABEL_STAGE)

    def test_both_end_the_same(self, run: ClusterRun, twin: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        twin.wait_until_ended()
        assert "train" not in twin.whole.endings("twin")
        assert twin.whole.digests("twin") == run.whole.digests()
        assert twin.whole.keys("twin") == undisturbed.keys()
        run.assert_as_undisturbed(undisturbed)
        twin.uninstall()
