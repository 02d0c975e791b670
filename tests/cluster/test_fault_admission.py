"""What never starts, and says why: images, quotas, devices, a run.yaml that cannot be."""

from collections.abc import Callable

import pytest

from sftjobs import names
from sftjobs.names import Exit
from tests.support.cluster_run import IMAGES, ClusterRun, seconds_between
from tests.support.lab import Object
from tests.support.whole_run import WholeRun

VERDICT_S = 120
NO_IMAGE = "registry.invalid/sftjobs/train:none"


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> ClusterRun:
    return new_run("admission")


def quota(run: ClusterRun, memory: str) -> Object:
    """The controller fits in, a stage does or does not."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team", "namespace": run.namespace},
        "spec": {"hard": {"requests.memory": memory}},
    }


def stage_message(run: ClusterRun, stage: str) -> str:
    """What `sftjobs status` says beside the stage, from the store alone."""
    state = run.whole.json("status", run.name) if run.state() else {"stages": []}
    return next((item["message"] for item in state["stages"] if item["name"] == stage), "")


class TestAdmission:
    """Two faults in one run."""

    def test_resource_quota_exceeded(self, run: ClusterRun) -> None:
        """The stage waits, the status says for what, and it starts when there is room."""
        run.cluster.apply(quota(run, "1Gi"))
        run.values["images"] = {**IMAGES, "train": NO_IMAGE}
        run.install()
        said = run.until(
            lambda: "exceeded quota" in (text := stage_message(run, "data")) and text, "the reason is said"
        )
        assert "requests.memory" in said
        run.cluster.apply(quota(run, "16Gi"))
        run.until(lambda: run.stage_state("data") == "succeeded", "data is prepared after all")

    def test_image_not_pullable(self, run: ClusterRun) -> None:
        """A verdict with the kubelet's message in less than two minutes; with the right image the run goes on."""
        run.until(run.controller_failed, "there is a verdict", 300)
        job = run.controller_job()
        last = run.whole.attempts("train")[-1]
        assert job is not None and last.result is not None
        assert last.result.termination.failure == "image"
        assert NO_IMAGE in last.result.termination.message
        assert last.result.finished - last.intent.created < VERDICT_S
        state = run.state()
        assert state is not None and state.state == "failed"
        run.values["images"] = IMAGES
        run.upgrade({"controller.again": "1"})

    def test_the_run_ends_as_if_undisturbed(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        run.wait_until_ended()
        run.assert_as_undisturbed(undisturbed)


def test_unschedulable_gpu(new_run: Callable[..., ClusterRun]) -> None:
    """The scheduler's own words are in the status line; cancel ends the wait and leaves nothing."""
    gpus = ("  train: {threads_per_process: 1,", "  train: {gpus_per_node: 16,")
    run = new_run("gpu", changes=[gpus, ("global_batch_size: 8", "global_batch_size: 16")])
    run.install()
    run.until(
        lambda: "Insufficient nvidia.com/gpu" in stage_message(run, "train"),
        "the scheduler's words are in the status",
    )
    run.whole.cli("cancel", run.name)
    run.until(run.controller_ended, "the controller has ended", 60)
    state = run.state()
    assert state is not None and state.state == "cancelled"
    assert not run.cluster.get("pods", run.namespace, f"{names.LABEL_STAGE}=train")
    run.uninstall()


def test_a_bad_run_is_refused_at_once(new_run: Callable[..., ClusterRun]) -> None:
    """In less than 3 s of the container's life, with exit code 10 and the reason where `kubectl describe` shows it."""
    run = new_run("bad")
    text = (run.whole.folder / "pushed.yaml").read_text(encoding="utf-8")
    (run.whole.folder / "pushed.yaml").write_text(text.replace("learning_rate:", "learning_rat:"), encoding="utf-8")
    run.install()
    run.until(run.controller_failed, "the controller has refused it", 60)
    (pod,) = run.controllers()
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == Exit.BAD_CONFIG
    assert "learning_rat" in ended["message"] and "did you mean" in ended["message"]
    assert "learning_rat" in run.cluster.kubectl("describe", "pod", pod["metadata"]["name"], "-n", run.namespace)
    assert seconds_between(ended["startedAt"], ended["finishedAt"]) < 3
    run.uninstall()
