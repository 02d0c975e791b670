"""`helm test` on a real cluster: what it finds, and that nothing of it stays."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from sftjobs import __version__, names
from sftjobs.store.open import open_store
from tests.support.cluster_run import ClusterRun
from tests.support.lab import Cluster, Object
from tests.support.pod_store import SECRET, PodStore
from tests.support.whole_run import WholeRun, make_inputs

CHECKS = ["permissions", "queue", "run.yaml", "store", "inputs", "quotas", "gpus", "jobs"]
IDLE = "idle"
"""A LocalQueue without quota: the controller makes its Job, and nothing runs."""


@pytest.fixture
def run(cluster: Cluster, images: None, s3: PodStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    """Pushed into a namespace of its own; not installed."""
    with ExitStack() as stack:
        namespace = stack.enter_context(cluster.namespace("preflight", SECRET))
        folder = make_inputs(tmp_path_factory.mktemp("preflight") / "run")
        spec = s3.spec(namespace)
        environ = {**SECRET, "KUBECONFIG": cluster.environ["KUBECONFIG"], "PATH": cluster.environ["PATH"]}
        whole = WholeRun(folder, open_store(spec, folder), environ)
        whole.change("name: whole", f"store: {spec.model_dump_json()}\nname: whole")
        whole.change("{threads_per_process: 1}", "{threads_per_process: 1, memory_gib: 2, disk_gib: 1}")
        found = ClusterRun(whole, cluster, namespace, s3.pod_endpoint(cluster.host))
        found.push()
        yield found


def preflight(run: ClusterRun, code: int) -> dict[str, list[str]]:
    """`helm test`; what it says by check, each as `state text -> what to do`."""
    with ThreadPoolExecutor(1) as pool:
        helm = pool.submit(run.helm, "test", run.name, "--timeout", "280s", code=code)
        run.until(lambda: helm.done() or _has_started(run), "the test has begun", 60)
        # while it goes on: after a success nothing is left to ask
        shown = run.cluster.kubectl("logs", "-f", f"{run.name}-preflight", "-n", run.namespace, timeout_s=300)
        helm.result()
    found: dict[str, list[str]] = {}
    for state, check, text, _, todo in re.findall(
        r"^(ok|failed|not checked) {2,}([a-z.]+) +(.*\n(?: {26}[^- ].*\n)*)( {26}-> (.*))?", shown, re.MULTILINE
    ):
        found.setdefault(check, []).append(f"{state} {text.strip()} -> {todo}")
    assert found, shown
    return found


def _has_started(run: ClusterRun) -> bool:
    pods = [pod for pod in run.cluster.get("pods", run.namespace) if pod["metadata"]["name"] == f"{run.name}-preflight"]
    return bool(pods) and pods[0]["status"]["phase"] != "Pending" and "deletionTimestamp" not in pods[0]["metadata"]


def leftovers(run: ClusterRun) -> list[str]:
    return [name for name in run.cluster.names("jobs,pods,roles,rolebindings", run.namespace) if "preflight" in name]


def queue(run: ClusterRun) -> list[Object]:
    """A queue in which nothing is ever admitted."""
    version, name = "kueue.x-k8s.io/v1beta1", run.namespace
    covered = ("cpu", "memory", "ephemeral-storage")
    flavors = [{"name": name, "resources": [{"name": item, "nominalQuota": 0} for item in covered]}]
    groups = [{"coveredResources": list(covered), "flavors": flavors}]
    local = {"name": IDLE, "namespace": name}
    return [
        {"apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": name}},
        {
            "apiVersion": version,
            "kind": "ClusterQueue",
            "metadata": {"name": name},
            "spec": {"namespaceSelector": {}, "resourceGroups": groups},
        },
        {"apiVersion": version, "kind": "LocalQueue", "metadata": local, "spec": {"clusterQueue": name}},
    ]


def test_a_cluster_that_has_everything(run: ClusterRun) -> None:
    """While the controller is at work, as it is after `helm install`; it notices nothing of the test."""
    kueue = run.cluster.has_kueue()
    if kueue:
        run.cluster.apply(*queue(run))
        run.values["queue"] = IDLE
    run.install() if kueue else run.install({"controller.enabled": "false"})
    try:
        found = preflight(run, code=0)
        assert list(found) == [*CHECKS, "images"]
        states = {line.split(" ")[0] for lines in found.values() for line in lines}
        assert states == {"ok"} if kueue else states == {"ok", "not"}
        assert len(found["images"]) == 3
        assert all(f"pulled and started, version {__version__}" in line for line in found["images"])
        assert "with conditional writes" in found["store"][0]
        run.until(lambda: not leftovers(run), "nothing of the test is left", 60)
        run.uninstall()
    finally:
        for kind in ("clusterqueue", "resourceflavor") if kueue else ():
            run.cluster.kubectl("delete", kind, run.namespace, "--wait=false", check=False)


def test_everything_is_wrong_at_once(run: ClusterRun) -> None:
    """Each failure names the cause and the way out."""
    image = "sftjobs/none:1"
    images = {"pull_policy": "Never", "train": image}
    run.values |= {"images": {**run.values.get("images", {}), **images}, "queue": "nowhere"}
    run.values["pods"] = {"eval": {"secret_env": ["NO_SUCH_KEY"]}}
    metadata = {"name": "team", "namespace": run.namespace}
    quota = {"requests.memory": "1Gi", "pods": "20"}
    run.install({"controller.again": "0"})
    run.cluster.kubectl("delete", "rolebinding", f"{run.name}-controller", "-n", run.namespace)
    run.cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": quota}})
    found = preflight(run, code=1)
    account = names.service_account_name(run.name, "controller")
    expected = {
        "permissions": [f"failed ServiceAccount {account} may not: get jobs, list jobs", f"to Role {account}"],
        "queue": ["failed", "nowhere", "no stage would start", "->"],
        "store": ["ok"],
        "quotas": ["failed stage data: ResourceQuota team: requests.memory is 1Gi, and the stage needs 2Gi"],
        "jobs": ["ok"],
    }
    for check, words in expected.items():
        assert all(word in found[check][0] for word in words), found[check]
    wrong = {line.split(" ")[1]: line for line in found["images"] if line.startswith("failed")}
    assert "cannot be pulled" in wrong[f"{image}"] and "images.pull_secrets" in wrong[image]
    missing = next(line for line in found["images"] if "(eval)" in line)
    assert "NO_SUCH_KEY" in missing and "add the key to the Secret" in missing
    run.until(lambda: not [name for name in leftovers(run) if name.startswith("job/")], "its Jobs are gone", 60)


@pytest.mark.parametrize(
    ("wrong", "check", "words"),
    [
        ("key", "store", ["failed", "Secret sftjobs"]),
        ("run", "run.yaml", ["failed run.yaml:", "mo_del", "install it again"]),
    ],
)
def test_without_a_store_or_a_run_the_rest_is_not_checked(
    run: ClusterRun, wrong: str, check: str, words: list[str]
) -> None:
    if wrong == "key":
        run.cluster.apply(run.secret({**SECRET, "TEST_SECRET_KEY": "wrong"}))
    else:
        pushed = run.whole.folder / "pushed.yaml"
        pushed.write_text(pushed.read_text().replace("\nmodel:", "\nmo_del:"))
    run.install({"controller.enabled": "false"})
    found: Any = preflight(run, code=1)
    assert all(word in found[check][0] for word in words), found[check]
    for other in ("quotas", "gpus", "jobs", "images"):
        assert found[other] == ["not checked the run is not planned -> "]
    assert SECRET["TEST_ACCESS_KEY"] not in str(found)
