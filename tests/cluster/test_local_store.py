"""The S3 server of examples/cluster runs under `restricted`, and is a store that `helm test` accepts."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml

from tests.support.cluster_run import ClusterRun
from tests.support.lab import ROOT, Cluster
from tests.support.node_faults import LabFaults
from tests.support.pod_store import SECRET

EXAMPLES = ROOT / "examples" / "cluster"
IMAGE = "sftjobs/seaweedfs:local"
KEYS = {"S3_ACCESS_KEY": "local", "S3_SECRET_KEY": "only-for-this-test"}


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    if not isinstance(cluster.faults, LabFaults):
        pytest.skip("hack/kind-up builds and pushes the image for kind")
    command = [cluster.faults.lab / "build-image", "-t", IMAGE, "--build-arg", "BASE=lab.local/base:bookworm-py311"]
    subprocess.run([*command, EXAMPLES / "seaweedfs"], check=True, capture_output=True)
    return IMAGE


@pytest.fixture(scope="class")
def run(image: str, new_run: Callable[..., ClusterRun]) -> Iterator[ClusterRun]:
    run = new_run("local", secret={**SECRET, **KEYS})
    run.cluster.kubectl("apply", "-n", run.namespace, "-f", str(EXAMPLES / "seaweedfs.yaml"))
    run.cluster.kubectl(
        "rollout", "status", "deployment/seaweedfs", "-n", run.namespace, "--timeout=90s", timeout_s=120
    )
    example = yaml.safe_load((EXAMPLES / "cluster.yaml").read_text(encoding="utf-8"))
    run.values = {**run.values, **example}
    yield run


class TestLocalStore:
    def test_helm_test_accepts_it(self, run: ClusterRun) -> None:
        """Reachable, writable, with conditional writes; the bucket is made by the first write."""
        run.install({"controller.enabled": "false"})
        shown = run.helm("test", run.name)
        assert "Succeeded" in shown

    def test_wrong_keys_are_refused(self, run: ClusterRun) -> None:
        run.cluster.apply(run.secret({**SECRET, **KEYS, "S3_SECRET_KEY": "another"}))
        run.helm("test", run.name, code=1)
        log = run.cluster.kubectl("logs", f"{run.name}-preflight", "-n", run.namespace)
        assert "refused" in log, log
        run.uninstall()
