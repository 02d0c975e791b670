"""examples/full-zero3 by `helm install`: two pods with two ranks each, hit twice on the way, make the same model.

As long as two runs of the example, one of them as processes on this machine.
"""

import shutil
import time
from pathlib import Path

import pytest

from sftjobs.attempts import FailureClass
from sftjobs.store.open import open_store
from tests.support.cluster_run import ClusterRun, pod_of
from tests.support.container_faults import kill_rank
from tests.support.disturbed import newest_save
from tests.support.lab import ROOT, Cluster
from tests.support.pod_store import SECRET, PodStore
from tests.support.whole_run import WholeRun

NAME = "full-zero3"
STAGES = ("import", "data", "train", "eval-base", "eval-tuned", "compare")
WHOLE_RUN_S = 3600.0
LATER_STEPS = 5
"""The next blow comes so many saved steps after the last."""

pytestmark = pytest.mark.slow


def ended_as(run: ClusterRun, number: int) -> FailureClass:
    """Class of attempt `number` of the training once it has ended."""
    run.until(lambda: run.whole.attempts("train", NAME)[number].result, f"attempt {number} has ended", WHOLE_RUN_S)
    result = run.whole.attempts("train", NAME)[number].result
    assert result is not None
    print(f"{time.strftime('%T')} attempt {number}: {result.termination.message}, last step {result.termination.step}")
    return result.termination.failure


def saved_beyond(run: ClusterRun, step: int) -> int:
    found = run.until(lambda: (now := newest_save(run)) > step and now, f"a save after step {step}", WHOLE_RUN_S)
    print(f"{time.strftime('%T')} saved step {found}")
    return int(found)


def test_hit_twice_it_makes_the_same_model(cluster: Cluster, images: None, s3: PodStore, tmp_path: Path) -> None:
    """A pod that is deleted saves, a rank that is killed does not."""
    calm = WholeRun(ROOT / "examples" / NAME)  # one that is there is a cache hit
    calm.cli("run", timeout_s=WHOLE_RUN_S)
    folder = tmp_path / NAME
    shutil.copytree(calm.folder, folder, ignore=shutil.ignore_patterns(".sftjobs", "output-*"))
    with cluster.namespace("zero3", SECRET) as namespace:
        spec = s3.spec(namespace)
        whole = WholeRun(folder, open_store(spec, folder), SECRET)
        whole.change(f"name: {NAME}", f"store: {spec.model_dump_json()}\nname: {NAME}")
        whole.change("../../.models", str(ROOT / ".models"))
        whole.change("../intent", str(ROOT / "examples" / "intent"))
        run = ClusterRun(whole, cluster, namespace, s3.pod_endpoint(cluster.host), name=NAME)
        run.push()
        began = time.monotonic()
        run.install()
        first = saved_beyond(run, LATER_STEPS)
        cluster.kubectl("delete", "pod", pod_of(run, 1), "-n", namespace, "--wait=false")
        assert ended_as(run, 0) == "stopped"
        saved_beyond(run, first + LATER_STEPS)
        kill_rank(run, "train", 3)
        assert ended_as(run, 1) == "infrastructure"
        run.wait_until_ended(seconds=WHOLE_RUN_S)
        print(f"{time.monotonic() - began:.0f} s from helm install to the report; {whole.endings(NAME)['train']}")
        assert whole.keys(NAME) == calm.keys(NAME)
        assert whole.digests(NAME) == calm.digests(NAME)
        assert tuple(whole.digests(NAME)) == STAGES
        assert whole.endings(NAME)["train"] == ["stopped", "infrastructure", "committed"]
        assert whole.json("report", NAME)["text"] == calm.json("report", NAME)["text"]
        run.uninstall()
