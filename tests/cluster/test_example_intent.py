"""examples/intent with SmolLM2-135M by `helm install`: the same artifacts as `make demo`. As long as two demos."""

import shutil
from pathlib import Path

import pytest

from sftjobs.store.open import open_store
from tests.support.cluster_run import ClusterRun
from tests.support.lab import ROOT, Cluster
from tests.support.pod_store import SECRET, PodStore
from tests.support.whole_run import WholeRun

MODEL = ROOT / ".models" / "SmolLM2-135M-Instruct.gguf"
STAGES = ("import", "data", "train", "eval-base", "baselines", "eval-tuned", "compare")
WHOLE_RUN_S = 2400.0

pytestmark = pytest.mark.slow


def test_the_example_ends_with_the_same_report_and_the_same_model(
    cluster: Cluster, images: None, s3: PodStore, tmp_path: Path
) -> None:
    """Same threads per rank, same libraries, another machine as far as the stages can see."""
    demo = WholeRun(ROOT / "examples" / "intent")  # what `make demo` left is a cache hit
    demo.cli("run", timeout_s=WHOLE_RUN_S)
    folder = tmp_path / "intent"
    shutil.copytree(demo.folder, folder, ignore=shutil.ignore_patterns(".sftjobs", "output-*"))
    with cluster.namespace("intent", SECRET) as namespace:
        spec = s3.spec(namespace)
        whole = WholeRun(folder, open_store(spec, folder), SECRET)
        whole.change("name: intent", f"store: {spec.model_dump_json()}\nname: intent")
        whole.change("../../.models", str(MODEL.parent))
        run = ClusterRun(whole, cluster, namespace, s3.pod_endpoint(cluster.host), name="intent")
        run.push()
        run.install()
        run.wait_until_ended(seconds=WHOLE_RUN_S)
        assert whole.keys("intent") == demo.keys("intent")
        assert whole.digests("intent") == demo.digests("intent")
        assert tuple(whole.digests("intent")) == STAGES
        assert whole.json("report", "intent")["text"] == demo.json("report", "intent")["text"]
        run.uninstall()
