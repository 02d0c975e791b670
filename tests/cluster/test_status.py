"""`sftjobs status` with a real cluster behind it: why nothing happens, in words."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sftjobs.store.open import open_store
from tests.support.cluster_run import ClusterRun
from tests.support.lab import Cluster
from tests.support.pod_store import SECRET, PodStore
from tests.support.whole_run import WholeRun, make_inputs


@pytest.fixture
def run(cluster: Cluster, images: None, s3: PodStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    """Pushed into a namespace of its own; not installed."""
    with ExitStack() as stack:
        namespace = stack.enter_context(cluster.namespace("status", SECRET))
        folder = make_inputs(tmp_path_factory.mktemp("status") / "run")
        spec = s3.spec(namespace)
        environ = {**SECRET, "KUBECONFIG": cluster.environ["KUBECONFIG"], "PATH": cluster.environ["PATH"]}
        whole = WholeRun(folder, open_store(spec, folder), environ)
        whole.change("name: whole", f"store: {spec.model_dump_json()}\nname: whole")
        found = ClusterRun(whole, cluster, namespace, s3.pod_endpoint(cluster.host))
        found.push()
        yield found


def told(run: ClusterRun, *options: str) -> Callable[[str], str]:
    """What `sftjobs status` says, once it says so."""

    def until(words: str) -> str:
        def look() -> str:
            shown = run.whole.cli("status", run.name, *options)
            return shown if words in shown else ""

        found: str = run.until(look, f"status says {words!r}", 120)
        return found

    return until


def test_why_a_stage_waits(run: ClusterRun) -> None:
    """The cluster knows at once, the store half a minute later."""
    if not run.cluster.has_kueue():
        pytest.skip("no Kueue in this cluster")
    run.values["queue"] = "nowhere"
    run.install()
    why = "waiting for quota in nowhere: LocalQueue nowhere doesn't exist"
    run.until(lambda: run.state() is not None, "the run is in the store")
    shown = told(run, "--namespace", run.namespace)(why)
    assert "is at work" in shown
    assert why in told(run)(why)
    run.uninstall()
    assert f"no pod in namespace {run.namespace}" in run.whole.cli("status", run.name, "--namespace", run.namespace)


def test_why_the_controller_has_not_started(run: ClusterRun) -> None:
    """Nothing is in the store: only the cluster can say."""
    run.values["images"] = {**run.values["images"], "controller": "sftjobs/none:1", "pull_policy": "Never"}
    run.install()
    pod = run.until(run.controllers, "the pod of the controller", 60)[0]["metadata"]["name"]
    said = run.whole.cli("status", run.name, "--namespace", run.namespace, code=10)
    assert f"controller: pod {pod} has not started: " in said
    run.until(lambda: "sftjobs/none:1 cannot be pulled" in _status(run), "the reason", 60)


def _status(run: ClusterRun) -> str:
    return run.whole.cli("status", run.name, "--namespace", run.namespace, code=10)
