"""The node cache of real pods: a claim on a folder of the node, which is this machine in the lab."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact.digest import hash_file
from tests.support.cluster_run import ClusterRun, prepare_run
from tests.support.lab import Cluster
from tests.support.pod_store import SECRET, PodStore
from tests.support.tiny import tiny_model
from tests.support.whole_run import make_inputs

CLAIM = "models"


@pytest.fixture(scope="class")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the node that the user of the pods may write to."""
    folder = tmp_path_factory.mktemp("cache")
    for path in (folder, *folder.parents[:3]):
        path.chmod(0o777)
    return folder


@pytest.fixture(scope="class")
def run(
    cluster: Cluster, images: None, s3: PodStore, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterRun]:
    if cluster.audit_log is None:
        pytest.skip("the folders of this cluster's nodes cannot be seen from here")
    source = make_inputs(tmp_path_factory.mktemp("inputs") / "run")
    tiny_model(source / "model", hidden=128, layers=4)  # large enough to be worth a cache
    with cluster.namespace("cache", SECRET) as namespace:
        _claim(cluster, namespace, cache)
        changes = [
            ("{threads_per_process: 1}", "{threads_per_process: 1, memory_gib: 2, disk_gib: 1}"),
            ("max_steps: 60", "max_steps: 10"),
        ]
        made = prepare_run(source, source.parent / "copy", cluster, namespace, s3, changes=changes)
        made.values["node_cache"] = {"claim": CLAIM, "max_gib": 1}
        made.push()
        try:
            yield made
        finally:
            cluster.kubectl("delete", "persistentvolume", f"cache-{namespace}", "--wait=false", check=False)


def _claim(cluster: Cluster, namespace: str, folder: Path) -> None:
    size = {"storage": "1Gi"}
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"cache-{namespace}"},
        "spec": {
            **spec,
            "capacity": size,
            "hostPath": {"path": str(folder)},
            "claimRef": {"name": CLAIM, "namespace": namespace},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": namespace},
        "spec": {**spec, "volumeName": f"cache-{namespace}", "resources": {"requests": size}},
    }
    cluster.apply(volume, claim)


def kept(cache: Path) -> dict[str, str]:
    """Digest in the name -> digest of the content."""
    return {path.name: hash_file(path)[1] for path in (cache / "sha256").iterdir()}


def log(run: ClusterRun, stage: str) -> str:
    """Of the newest attempt."""
    number = len(run.whole.attempts(stage, run.name)) - 1
    prefix = names.log_prefix(run.whole.run_id(run.name), stage, number, 0)
    return b"".join(run.whole.store.get(entry.key).body for entry in run.whole.store.list(prefix)).decode()


class TestNodeCache:
    def test_models_are_kept_by_their_digests(self, run: ClusterRun, cache: Path) -> None:
        run.install()
        run.wait_until_ended()
        found = kept(cache)
        base = hash_file(run.whole.folder / "model" / "model.safetensors")[1]
        assert base in found and len(found) >= 2, "the base and the tuned model"
        assert all(name == digest for name, digest in found.items())
        assert re.search(r"node cache: \d of 1 large files were there", log(run, "train"))

    def test_the_next_attempt_takes_them_and_a_damaged_one_is_fetched_again(self, run: ClusterRun, cache: Path) -> None:
        digests, found = run.whole.digests(run.name), kept(cache)
        base = cache / "sha256" / hash_file(run.whole.folder / "model" / "model.safetensors")[1]
        body = bytearray(base.read_bytes())
        body[len(body) // 2] ^= 1
        base.chmod(0o666)
        base.write_bytes(body)
        for stage in ("compare", "eval-tuned", "train"):
            run.whole.cli("discard", run.name, stage, "--yes")
        run.upgrade({"controller.again": "1"})
        run.until(lambda: run.whole.digests(run.name) == digests, "the same artifacts again")
        run.wait_until_ended()
        said = log(run, "train")
        assert (
            f"node cache: {names.CACHE_MOUNT}/sha256/{base.name} is damaged; it is removed, and fetched again" in said
        )
        assert "node cache: 0 of 1 large files were there" in said
        assert "node cache: 1 of 1 large files were there" in log(run, "eval-tuned")
        assert kept(cache) == found
