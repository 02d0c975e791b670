"""The protocol of a stage key: claims, one COMMIT, damage, discard."""

import threading
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.agent import publish
from sftjobs.artifact import stages
from sftjobs.artifact.lease import Lease
from sftjobs.canonical import sha256
from sftjobs.errors import BusyError, ChangedError, DamagedError
from sftjobs.plan.types import FileEntry, Manifest
from sftjobs.store.folder import FolderStore

KEY = "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def committed(store: FolderStore, content: bytes = b"text", digest: str = "d") -> Manifest:
    """A committed incarnation with one file."""
    incarnation = stages.claim(store, "data", KEY)
    store.create(f"{names.incarnation_prefix('data', KEY, incarnation)}content/a.txt", content)
    entry = FileEntry(path="a.txt", size=len(content), sha256=sha256(content))
    manifest = Manifest(
        kind="data", key=KEY, incarnation=incarnation, digest=digest, content=[entry], info=[], inputs={},
        versions={}, counts={},
    )  # fmt: skip
    stages.commit(store, manifest)
    return manifest


def test_commit_and_read_back(store: FolderStore) -> None:
    assert stages.read_commit(store, "data", KEY) is None
    manifest = committed(store)
    commit = stages.read_commit(store, "data", KEY)
    assert commit is not None
    assert stages.read_manifest(store, "data", KEY, commit) == manifest
    assert stages.manifest_of(store, stages.ref(commit, manifest)) == manifest
    stages.check_sizes(store, "data", KEY, manifest)


def test_claims_are_unique_in_a_race(store: FolderStore) -> None:
    claimed: list[int] = []
    threads = [threading.Thread(target=lambda: claimed.append(stages.claim(store, "data", KEY))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(1, 9))


@pytest.mark.parametrize(("digest", "verdict"), [("d", "equal"), ("other", "different")])
def test_the_first_commit_stays(store: FolderStore, digest: str, verdict: str) -> None:
    first = committed(store)
    second = committed(store, digest=digest)
    commit = stages.read_commit(store, "data", KEY)
    assert commit is not None
    assert commit.incarnation == first.incarnation
    assert stages.lost_race(store, second, commit) == verdict
    assert stages.lost_race(store, first, commit) == ""


def test_a_damaged_manifest_is_named_with_the_way_out(store: FolderStore, tmp_path: Path) -> None:
    committed(store)
    path = tmp_path / names.incarnation_prefix("data", KEY, 1) / names.MANIFEST
    path.write_bytes(path.read_bytes() + b" ")
    commit = stages.read_commit(store, "data", KEY)
    assert commit is not None
    with pytest.raises(DamagedError, match=r"inc/1/MANIFEST.json has SHA-256 .*sftjobs discard RUN STAGE"):
        stages.read_manifest(store, "data", KEY, commit)
    path.unlink()
    with pytest.raises(DamagedError, match="is missing although the stage is committed"):
        stages.read_manifest(store, "data", KEY, commit)


def test_a_damaged_commit_is_named(store: FolderStore, tmp_path: Path) -> None:
    committed(store)
    (tmp_path / names.stage_prefix("data", KEY) / names.COMMIT).write_text("{}")
    with pytest.raises(DamagedError, match=r"COMMIT is not a COMMIT .*sftjobs discard"):
        stages.read_commit(store, "data", KEY)


def test_sizes_are_checked(store: FolderStore, tmp_path: Path) -> None:
    manifest = committed(store)
    path = tmp_path / names.incarnation_prefix("data", KEY, 1) / "content/a.txt"
    path.write_text("longer")
    with pytest.raises(DamagedError, match=r"content/a.txt has 6 bytes, but was committed with 4; .*sftjobs discard"):
        stages.check_sizes(store, "data", KEY, manifest)
    path.unlink()
    with pytest.raises(DamagedError, match=r"content/a.txt is missing"):
        stages.check_sizes(store, "data", KEY, manifest)


def test_discard_leaves_only_the_claims(store: FolderStore) -> None:
    committed(store)
    store.create(names.checkpoint_commit("data", KEY, 3, 1), b"{}")
    assert stages.discard(store, "data", KEY) == 4
    assert stages.read_commit(store, "data", KEY) is None
    claim = names.incarnation_prefix("data", KEY, 1) + names.CLAIM
    assert [entry.key for entry in store.list("")] == [claim]
    assert stages.claim(store, "data", KEY) == 2


def test_discard_deletes_commits_first(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(store)
    store.create(names.checkpoint_commit("data", KEY, 3, 1), b"{}")
    order: list[str] = []
    delete = FolderStore.delete
    monkeypatch.setattr(FolderStore, "delete", lambda self, key: (order.append(key), delete(self, key))[1])
    stages.discard(store, "data", KEY)
    assert order[0] == names.stage_prefix("data", KEY) + names.COMMIT
    assert order[1] == names.checkpoint_commit("data", KEY, 3, 1)


def test_discard_waits_for_nobody(store: FolderStore) -> None:
    committed(store)
    lease = names.stage_prefix("data", KEY) + names.LEASE
    with Lease(store, lease, what="agent of data, attempt 0"), pytest.raises(BusyError, match="agent of data"):
        stages.discard(store, "data", KEY)
    assert stages.read_commit(store, "data", KEY) is not None


def test_discard_also_takes_what_a_late_writer_adds_meanwhile(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(store)
    late = iter(["late.txt"])
    delete = FolderStore.delete

    def delete_slowly(self: FolderStore, key: str) -> None:
        delete(self, key)
        if key.endswith("MANIFEST.json") and next(late, None):
            committed(self)

    monkeypatch.setattr(FolderStore, "delete", delete_slowly)
    stages.discard(store, "data", KEY)
    assert stages.read_commit(store, "data", KEY) is None
    assert {entry.key.rpartition("/")[2] for entry in store.list("")} == {names.CLAIM}


def test_an_agent_never_commits_what_was_discarded_meanwhile(store: FolderStore) -> None:
    manifest = committed(store)
    stages.discard(store, "data", KEY)
    with pytest.raises(ChangedError, match=r"incarnation 1 .* was deleted before it could be committed: .*a\.txt"):
        publish.commit(store, manifest)
    assert stages.read_commit(store, "data", KEY) is None
