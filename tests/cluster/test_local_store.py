"""examples/cluster on a cluster: its S3 server runs under `restricted`, and is a store that `helm test` accepts."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from tests.support import seaweed
from tests.support.cluster_run import ClusterRun
from tests.support.lab import ROOT, Cluster
from tests.support.node_faults import LabFaults
from tests.support.pod_store import SECRET

EXAMPLES = ROOT / "examples" / "cluster"
IMAGE = "sftjobs/seaweedfs:local"
KEYS = {"S3_ACCESS_KEY": seaweed.ACCESS_KEY, "S3_SECRET_KEY": seaweed.SECRET_KEY}


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    if not isinstance(cluster.faults, LabFaults):
        pytest.skip("hack/kind-up builds the image for kind, and runs the server in another namespace")
    command = [cluster.faults.lab / "build-image", "-t", IMAGE, "--build-arg", "BASE=lab.local/base:bookworm-py311"]
    subprocess.run([*command, EXAMPLES / "seaweedfs"], check=True, capture_output=True)
    return IMAGE


@pytest.fixture(scope="class")
def run(image: str, new_run: Callable[..., ClusterRun]) -> Iterator[ClusterRun]:
    """As the README says: server, port-forward, push, with the store of the example in cluster.yaml."""
    run = new_run("local", secret={**SECRET, **KEYS})
    cluster, namespace = run.cluster, run.namespace
    cluster.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / "seaweedfs.yaml"))
    cluster.kubectl("rollout", "status", "deployment/seaweedfs", "-n", namespace, "--timeout=90s")
    run.values = {**run.values, **yaml.safe_load((EXAMPLES / "cluster.yaml").read_text(encoding="utf-8"))}
    (port,) = seaweed.free_ports(1)
    forward = ["kubectl", "port-forward", "service/seaweedfs", f"{port}:8333", "-n", namespace]
    with subprocess.Popen(forward, env=cluster.environ, stdout=subprocess.DEVNULL) as forwarding:
        try:
            wait_for_server(f"http://127.0.0.1:{port}")
            before = yaml.safe_load((run.whole.folder / "run.yaml").read_text(encoding="utf-8"))["store"]["endpoint"]
            run.whole.change(before, f"http://127.0.0.1:{port}")
            run.push()
            yield run
        finally:
            forwarding.terminate()


def wait_for_server(endpoint: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            seaweed.client_of(endpoint).list_buckets()
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline, "the server does not answer through the port"
            time.sleep(0.5)


class TestLocalStore:
    def test_helm_test_accepts_it(self, run: ClusterRun) -> None:
        """Reachable, writable, with conditional writes; the bucket is made by the first write."""
        run.install()
        assert "Succeeded" in run.helm("test", run.name)

    def test_wrong_keys_are_refused(self, run: ClusterRun) -> None:
        run.cluster.apply(run.secret({**SECRET, **KEYS, "S3_SECRET_KEY": "another"}))
        run.helm("test", run.name, code=1)
        log = run.cluster.kubectl("logs", f"{run.name}-preflight", "-n", run.namespace)
        assert "refused" in log, log
