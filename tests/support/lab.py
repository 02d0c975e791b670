"""The cluster that tests run on: the lab, or whatever KUBECONFIG names with SFTJOBS_CLUSTER_TESTS=1.

cluster = find_cluster()                         skips the test (in CI: fails it) with the reason if there is none
with cluster.namespace("kills") as namespace:    Pod Security `restricted`, gone afterwards
    cluster.get("pods", namespace)
cluster.faults.stop("apiserver")
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_faults import Faults, KindFaults, LabFaults, NoFaults

ROOT = Path(__file__).resolve().parents[2]
LAB_OPTIONS = ("--kueue", "--kwok-nodes", "10")
Object = dict[str, Any]
"""Any Kubernetes object as the API shows it."""


class Cluster:
    """kubectl with one kubeconfig, and what tests need around it."""

    def __init__(self, kubeconfig: Path, bin_path: str, host: str, faults: Faults, home: Path | None = None) -> None:
        self.environ = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": bin_path}
        self.host = host
        """Name of this machine as pods see it."""
        self.faults = faults
        self.audit_log = home / "audit.log" if home is not None else None
        """One JSON line per request to the API server; None where it cannot be read."""
        self.nodes: set[str] = set()
        """Those that were ready when the tests began."""

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout_s: float = 120.0) -> str:
        """Its stdout; the test fails with its stderr if it does."""
        done = subprocess.run(
            ["kubectl", *arguments],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: Object) -> None:
        """Create or change objects; they name their namespaces themselves."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))

    def get(self, kinds: str, namespace: str, selector: str = "") -> list[Object]:
        """All objects of the kinds (`jobs,pods`) in the namespace."""
        shown = self.kubectl("get", kinds, "-n", namespace, "-l", selector, "-o", "json")
        items: list[Object] = json.loads(shown)["items"]
        return items

    def names(self, kinds: str, namespace: str, selector: str = "") -> list[str]:
        """`kind/name` of each, sorted."""
        found = self.get(kinds, namespace, selector)
        return sorted(f"{item['kind'].lower()}/{item['metadata']['name']}" for item in found)

    def missing(self, images: Sequence[str]) -> list[str]:
        """Images that no node has and no node can pull: the lab has no registry. Elsewhere that cannot be known."""
        if not isinstance(self.faults, LabFaults):
            return []
        shown = subprocess.run([self.faults.lab / "image", "ls"], capture_output=True, text=True, check=True).stdout
        present = shown.partition("# in the cluster")[2].split()
        return [image for image in images if image not in present and f"docker.io/{image}" not in present]

    def has_kueue(self) -> bool:
        return "kueue.x-k8s.io" in self.kubectl("api-versions")

    @contextmanager
    def namespace(self, purpose: str, secret: Mapping[str, str] | None = None) -> Iterator[str]:
        """A namespace of one test, with the Secret `sftjobs`."""
        name = f"ct-{purpose}-{uuid.uuid4().hex[:6]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "sftjobs", "namespace": name},
                "stringData": dict(secret or {}),
            },
        )
        try:
            yield name
        finally:
            # Nothing in here deserves its grace, and the next test needs the room.
            self.kubectl("delete", "namespace", name, "--wait=false", check=False)
            self.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=0", "--force", check=False)

    def describe(self, namespace: str) -> str:
        """What a person would look at after a failure."""
        parts = [self.kubectl("get", "jobs,pods,events,workloads", "-n", namespace, "-o", "wide", check=False)]
        for name in self.kubectl("get", "pods", "-n", namespace, "-o", "name", check=False).split():
            log = self.kubectl("logs", name, "-n", namespace, "--tail=40", check=False)
            state = self.kubectl("get", name, "-n", namespace, "-o", "jsonpath={.status}", check=False)
            parts.append(f"--- {name}\n{state}\n{log}")
        return "\n".join(parts)

    def ready_nodes(self) -> set[str]:
        """Nodes that are ready and take pods."""
        nodes = json.loads(self.kubectl("get", "nodes", "-o", "json", "--request-timeout=5s"))["items"]
        return {node["metadata"]["name"] for node in nodes if _is_ready(node)}

    def wait_healthy(self, seconds: float = 180.0) -> None:
        """Until the API server answers and every node is ready that was: a test leaves them as it found them."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                if self.ready_nodes() >= self.nodes:
                    return
            assert time.monotonic() < deadline, f"the cluster is not healthy after {seconds} s"
            time.sleep(0.5)


def _is_ready(node: Object) -> bool:
    conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
    taints = {taint["key"] for taint in node["spec"].get("taints", [])}
    return conditions.get("Ready") == "True" and not taints & {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/unschedulable",
    }


def find_cluster() -> Cluster:
    """Start the lab if that is what there is. In CI a cluster that is missing is a failure, never a skip."""
    found = _find_cluster()
    found.nodes = found.ready_nodes()
    return found


def _find_cluster() -> Cluster:
    if os.environ.get("SFTJOBS_CLUSTER_TESTS") == "1" and os.environ.get("KUBECONFIG"):
        return _named_cluster(Path(os.environ["KUBECONFIG"]))
    lab = Path(os.environ.get("CLUSTER_LAB", ROOT.parent / "shared" / "cluster")).resolve()
    if not (lab / "up").is_file():
        _none(f"no cluster: {lab} is no lab (CLUSTER_LAB), and KUBECONFIG with SFTJOBS_CLUSTER_TESTS=1 is not set")
    if os.geteuid() != 0:
        _none(f"no cluster: the lab in {lab} needs root; or set KUBECONFIG and SFTJOBS_CLUSTER_TESTS=1")
    return _lab(lab)


def _none(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _lab(folder: Path) -> Cluster:
    home = Path(os.environ.get("LAB_HOME", "/var/lib/lab"))
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    cluster = Cluster(home / "kubeconfig", path, "host.lab.internal", LabFaults(folder), home)
    if subprocess.run([folder / "status"], capture_output=True, check=False).returncode != 0 or not cluster.has_kueue():
        _run(folder / "up", *LAB_OPTIONS)
    _run(folder / "tools")
    # The lab's aggregated API of Kueue does not answer. Nothing here asks it, but while it is registered the namespace
    # controller cannot list everything in a namespace and ends the deletion of none.
    cluster.kubectl("delete", "apiservice", "v1beta1.visibility.kueue.x-k8s.io", "--ignore-not-found")
    return cluster


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def _named_cluster(kubeconfig: Path) -> Cluster:
    """SFTJOBS_TEST_HOST: this machine as pods of that cluster see it; the S3 server of the tests runs here."""
    for tool in ("kubectl", "helm"):
        if shutil.which(tool) is None:
            _none(f"no {tool} in PATH")
    nodes = [name for name in os.environ.get("SFTJOBS_KIND_NODES", "").split(",") if name]
    host = os.environ.get("SFTJOBS_TEST_HOST", "host.docker.internal")
    return Cluster(kubeconfig, os.environ["PATH"], host, KindFaults(nodes[0]) if nodes else NoFaults())
