"""push, helm install, status, logs, report, pull, helm uninstall: what a user types, on real images."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sftjobs import names
from tests.support.cluster_run import ClusterRun
from tests.support.whole_run import STAGES, WholeRun


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    run = new_run("happy", helm="helm3")
    notes = run.install()
    assert "sftjobs status whole" in notes
    return run


class TestHappyPath:
    """One run that nobody disturbs, then the same again with the other Helm."""

    def test_it_ends_with_the_artifacts_of_a_run_without_a_cluster(
        self, run: ClusterRun, undisturbed: WholeRun
    ) -> None:
        """On CPU with the same threads, to the last bit: images and this machine have the same locked libraries."""
        run.wait_until_ended()
        assert run.whole.keys() == undisturbed.keys()
        assert run.whole.digests() == undisturbed.digests()
        assert run.whole.endings() == {stage: ["committed"] for stage in STAGES}
        job = run.controller_job()
        assert job is not None and job["status"].get("succeeded") == 1

    def test_stages_are_jobs_of_the_release(self, run: ClusterRun) -> None:
        """Each in its own image, owned by the anchor, without a token."""
        jobs = run.cluster.get("jobs", run.namespace, names.LABEL_STAGE)
        assert sorted(job["metadata"]["labels"][names.LABEL_STAGE] for job in jobs) == sorted(STAGES)
        for job in jobs:
            (owner,) = job["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"]) == ("ConfigMap", names.anchor_name(run.name))
            pod = job["spec"]["template"]["spec"]
            assert pod["automountServiceAccountToken"] is False
            kind = next(item.kind for item in run.plan().stages if item.name == pod["containers"][0]["name"])
            assert f"/{kind}:" in pod["containers"][0]["image"]

    def test_verbs_that_look(self, run: ClusterRun, undisturbed: WholeRun, tmp_path: Path) -> None:
        whole = run.whole
        status = whole.json("status", "whole")
        assert status["state"] == "succeeded"
        assert whole.run_id() in whole.cli("ls")
        assert "committed" in whole.cli("logs", "whole", "train")
        report, expected = whole.json("report", "whole"), undisturbed.json("report", "whole")
        assert report["text"] == expected["text"], "the comparison says something else"
        assert "verified" in whole.cli("pull", "whole", "model", str(tmp_path / "model"))
        tuned = (tmp_path / "model" / "model.safetensors").read_bytes()
        assert tuned == undisturbed.content("train", "model/model.safetensors").read_bytes()

    def test_no_secret_is_written_anywhere(self, run: ClusterRun) -> None:
        """Not in an object of the cluster, an event, a log, nor in the store."""
        secrets = [run.whole.environ[name] for name in ("TEST_ACCESS_KEY", "TEST_SECRET_KEY")]
        shown = run.cluster.kubectl(
            "get", "all,configmaps,events,serviceaccounts,roles", "-n", run.namespace, "-o", "json"
        )
        logs = [
            run.cluster.kubectl("logs", pod["metadata"]["name"], "-n", run.namespace)
            for pod in run.cluster.get("pods", run.namespace)
        ]
        records = [run.whole.store.get(entry.key).body.decode() for entry in run.whole.store.list(names.RUNS)]
        for text in (shown, *logs, *records):
            assert not [secret for secret in secrets if secret in text]

    def test_uninstall_leaves_nothing(self, run: ClusterRun) -> None:
        commits = run.whole.objects(names.COMMIT)
        run.uninstall()
        assert run.whole.objects(names.COMMIT) == commits

    def test_installed_again_by_helm_4_everything_is_cached(
        self, run: ClusterRun, new_run: Callable[..., ClusterRun]
    ) -> None:
        again = new_run("cached", prefix=run.namespace, helm="helm4")
        again.install()
        state = again.wait_until_ended(seconds=60)
        assert {stage.state for stage in state.stages} == {"skipped"}
        assert not again.cluster.get("pods", again.namespace, names.LABEL_STAGE)
        seconds = again.seconds_from_install_to_end()
        print(f"all cached: {seconds:.1f} s from helm install to the end of the controller")
        assert seconds < 30
        again.uninstall()
        assert json.loads(again.helm("list", "-o", "json")) == []
