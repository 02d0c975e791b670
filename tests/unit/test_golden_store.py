"""A newer version reads what an older one wrote: one small store of each release is kept in tests/golden/stores.

python -m tests.unit.test_golden_store 0.1.0        writes the store of this version (once per release)
"""

import sys
import tempfile
from pathlib import Path

import pytest

from sftjobs import names, runs
from sftjobs.artifact import stages
from sftjobs.artifact.transfer import download_tree
from sftjobs.plan.committed import committed
from sftjobs.plan.make import make
from sftjobs.store.open import open_store
from tests.support.committing import commit_all
from tests.support.specs import data_counts, make_facts, make_spec

STORES = Path(__file__).resolve().parents[1] / "golden" / "stores"
OWNER = runs.Owner(user="u", host="h", backend="process", run="demo", created=1.0)


@pytest.mark.parametrize("release", sorted(p.name for p in STORES.iterdir()))
def test_stores_of_older_releases_are_read(release: str, tmp_path: Path) -> None:
    store = open_store(str(STORES / release), tmp_path)
    run_id = runs.find_run(store, "demo")
    assert runs.read_spec_text(store, run_id)
    done = {
        (kind, key): stages.read_commit(store, kind, key)
        for kind in ("data", "train", "eval")
        for key in store.list_folders(f"{names.STAGES}{kind}/")  # type: ignore[attr-defined]
    }
    assert len(done) == len(runs.read_plan(store, run_id).stages)
    for (kind, key), commit in done.items():
        assert commit is not None
        manifest = stages.read_manifest(store, kind, key, commit)
        prefix = f"{names.incarnation_prefix(kind, key, commit.incarnation)}{names.CONTENT}/"
        download_tree(store, prefix, manifest.content, tmp_path / kind / key)


def test_the_newest_store_still_hits_the_cache(tmp_path: Path) -> None:
    """Keys of this version: a change of what enters a key without a new schema number fails here."""
    newest = sorted(p.name for p in STORES.iterdir())[-1]
    store = open_store(str(STORES / newest), tmp_path)
    plan = make(make_spec(), make_facts())
    assert list(committed(plan, store)) == [node.name for node in plan.stages]


def write(release: str) -> None:
    store = open_store(str(STORES / release), STORES)
    plan = make(make_spec(), make_facts())
    counts = {
        "data": data_counts(),
        "eval-base": {"metrics": {"accuracy": 0.1}},
        "eval-tuned": {"metrics": {"accuracy": 0.9}},
    }
    with tempfile.TemporaryDirectory() as scratch:
        commit_all(store, plan, Path(scratch), counts)
    runs.create_run(store, plan, b"name: demo\n", OWNER)


if __name__ == "__main__":
    write(sys.argv[1])
