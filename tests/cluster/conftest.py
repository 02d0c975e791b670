"""One cluster and one S3 server per session; each run has a namespace and a prefix of its own.

Faults that share a run are methods of one class, in the order in which they are injected: after one that is not
survived the rest fails at once.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.cluster_run import IMAGES, ClusterRun, prepare_run
from tests.support.lab import Cluster, find_cluster
from tests.support.pod_store import SECRET, PodStore, pod_store
from tests.support.whole_run import WholeRun, make_inputs

STEPS = 1200
"""Training takes most of a minute: time for some faults, one after another."""
_live: list[ClusterRun] = []


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    found = find_cluster()
    yield found
    found.wait_healthy()  # whatever a test did to the node, the next user of the cluster does not notice


@pytest.fixture(scope="session")
def s3(cluster: Cluster) -> Iterator[PodStore]:
    with pod_store() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in SECRET.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """The run that tests install, as a folder that nobody has run."""
    whole = WholeRun(make_inputs(tmp_path_factory.mktemp("undisturbed") / "run"))
    whole.change("max_steps: 60", f"max_steps: {STEPS}")
    whole.change("epochs: 20", "epochs: 200")
    whole.change("{threads_per_process: 1}", "{threads_per_process: 1, memory_gib: 2, disk_gib: 1}")
    whole.change("{backoff_s: 0.1}", "{backoff_s: 0.1, out_of_memory: 5}\nlimits: {grace_s: 20}")
    return whole


@pytest.fixture(scope="session")
def undisturbed(inputs: WholeRun) -> WholeRun:
    """The same run on this machine, with processes and a folder: what every run on the cluster must come to."""
    inputs.cli("run", timeout_s=600)
    return inputs


@pytest.fixture(scope="class")
def new_run(
    cluster: Cluster, images: None, s3: PodStore, inputs: WholeRun, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., ClusterRun]]:
    """Make a run in a namespace of its own, pushed and not installed; whatever is left of it is deleted afterwards."""
    made = ExitStack()

    def make(purpose: str, **more: Any) -> ClusterRun:
        namespace = made.enter_context(cluster.namespace(purpose, more.pop("secret", SECRET)))
        folder = tmp_path_factory.mktemp(purpose) / "run"
        run = prepare_run(inputs.folder, folder, cluster, namespace, s3, **more)
        run.push()
        _live.append(run)
        made.callback(_live.remove, run)
        return run

    with made:
        yield make


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> None:
    """The images of the tree under test."""
    missing = cluster.missing(list(IMAGES.values()))
    assert not missing, f"make images first: the lab has no {missing}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    earlier = getattr(item.parent, "earlier_failure", None)
    if earlier is not None:
        pytest.fail(f"not injected: the run did not survive {earlier}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        if getattr(item, "cls", None) is not None and not hasattr(item.parent, "earlier_failure"):
            item.parent.earlier_failure = item.name  # type: ignore[union-attr]
        for run in _live:
            report.sections.append((f"namespace {run.namespace}", run.cluster.describe(run.namespace)))
            report.sections.append((f"store of {run.namespace}", _listing(run)))
    return report


def _listing(run: ClusterRun) -> str:
    return "\n".join(f"{entry.size:>10} {entry.key}" for entry in run.whole.store.list(""))
