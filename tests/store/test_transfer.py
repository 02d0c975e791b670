"""Artifacts on their way: verified, resumable, linked in place where possible."""

import os
from pathlib import Path

import pytest

from sftjobs.artifact.digest import artifact_digest, file_entries, hash_file
from sftjobs.artifact.transfer import download_tree, fetch_tree, link_tree, upload_tree
from sftjobs.errors import AlreadyExistsError, DamagedError, DataError
from sftjobs.plan.types import FileEntry
from sftjobs.store.base import Store
from sftjobs.store.folder import FolderStore


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An artifact of 25 files, one of them empty, one large, some in folders."""
    folder = tmp_path / "tree"
    for number in range(23):
        path = folder / f"shard-{number % 3}" / f"{number:02d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1000 + number))
    (folder / "empty").touch()
    (folder / "large").write_bytes(os.urandom(20 << 20))
    return folder


def test_a_tree_there_and_back(store: Store, tree: Path, tmp_path: Path) -> None:
    entries = file_entries(tree)
    total = sum(entry.size for entry in entries)
    sent: list[int] = []
    received: list[int] = []
    upload_tree(store, "inc/0/content/", tree, entries, sent.append)
    assert [entry.key for entry in store.list("inc/0/")] == sorted(f"inc/0/content/{entry.path}" for entry in entries)
    download_tree(store, "inc/0/content", entries, tmp_path / "back", received.append)
    assert file_entries(tmp_path / "back") == entries
    assert (sum(sent), sum(received)) == (total, total)


def test_uploading_again_after_an_interruption(store: Store, tree: Path) -> None:
    entries = file_entries(tree)
    upload_tree(store, "content", tree, entries[:7])
    upload_tree(store, "content", tree, entries)
    assert len(list(store.list("content/"))) == len(entries)


def test_a_file_that_changes_after_it_was_hashed(store: Store, tree: Path) -> None:
    entries = file_entries(tree)
    (tree / "shard-0" / "00.bin").write_bytes(b"changed")
    with pytest.raises(DataError, match=r"00.bin: changed while it was uploaded"):
        upload_tree(store, "content", tree, entries)


def test_a_file_that_is_gone_after_it_was_hashed(store: Store, tree: Path) -> None:
    entries = file_entries(tree)
    (tree / "shard-0" / "00.bin").unlink()
    with pytest.raises(DataError, match=r"00.bin: cannot be read: No such file"):
        upload_tree(store, "content", tree, entries)


def test_an_object_of_another_is_not_overwritten(store: Store, tree: Path) -> None:
    store.put("content/empty", b"not empty")
    with pytest.raises(AlreadyExistsError, match="content/empty"):
        upload_tree(store, "content", tree, file_entries(tree))


def test_a_download_goes_on_where_it_stopped(store: Store, tree: Path, tmp_path: Path) -> None:
    entries = file_entries(tree)
    upload_tree(store, "content", tree, entries)
    back = tmp_path / "back"
    download_tree(store, "content", entries[:10], back)
    kept = {path: path.stat().st_ino for path in back.rglob("*") if path.is_file()}
    (back / "large").write_bytes(b"x" * (20 << 20))  # the right size is not enough
    (back / ".tmp-empty").write_bytes(b"left by a killed download")
    moved: list[int] = []
    download_tree(store, "content", entries, back, moved.append)
    assert file_entries(back) == entries
    assert all(path.stat().st_ino == inode for path, inode in kept.items() if path.name != "large")
    assert sum(moved) == sum(entry.size for entry in entries)


@pytest.mark.parametrize("how", [download_tree, fetch_tree])
def test_damage_is_named(store: Store, tree: Path, tmp_path: Path, how: object) -> None:
    entries = file_entries(tree)
    upload_tree(store, "content", tree, entries)
    body = store.get("content/shard-1/01.bin").body
    store.put("content/shard-1/01.bin", bytes([body[0] ^ 1]) + body[1:])
    with pytest.raises(DamagedError, match=r"content/shard-1/01.bin is damaged: SHA-256") as caught:
        how(store, "content", entries, tmp_path / "back")  # type: ignore[operator]
    assert caught.value.key == "content/shard-1/01.bin"
    assert not (tmp_path / "back" / "shard-1" / "01.bin").exists()
    store.put("content/shard-1/01.bin", b"short")
    with pytest.raises(DamagedError, match=r"content/shard-1/01.bin has 5 bytes, its manifest says 1001"):
        how(store, "content", entries, tmp_path / "back")  # type: ignore[operator]
    store.delete("content/shard-1/01.bin")
    with pytest.raises(DamagedError, match=r"content/shard-1/01.bin is missing, though its manifest lists it"):
        how(store, "content", entries, tmp_path / "back")  # type: ignore[operator]


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", ""])
def test_a_manifest_cannot_lead_out_of_the_target(store: Store, tmp_path: Path, path: str) -> None:
    entry = FileEntry(path=path, size=0, sha256="0" * 64)
    with pytest.raises(DamagedError, match="is not a plain relative path"):
        download_tree(store, "content", [entry], tmp_path / "back")


def test_fetching_from_a_folder_links_and_from_s3_copies(store: Store, tree: Path, tmp_path: Path) -> None:
    entries = file_entries(tree)
    upload_tree(store, "content", tree, entries)
    for _ in range(2):
        fetch_tree(store, "content", entries, tmp_path / "in")
    assert (tmp_path / "in" / "large").is_symlink() == isinstance(store, FolderStore)
    assert {entry.path: hash_file(tmp_path / "in" / entry.path) for entry in entries} == {
        entry.path: (entry.size, entry.sha256) for entry in entries
    }
    fetch_tree(store, "content", [], tmp_path / "none")


def test_links_need_a_store_on_this_machine(store: Store, tree: Path, tmp_path: Path) -> None:
    if isinstance(store, FolderStore):
        return
    with pytest.raises(ValueError, match="has no local paths"):
        link_tree(store, "content", file_entries(tree), tmp_path / "in")


def test_the_digest_knows_the_bytes_and_the_names(tree: Path) -> None:
    entries = file_entries(tree)
    before = artifact_digest(entries)
    assert artifact_digest(reversed(entries)) == before
    (tree / "empty").rename(tree / "void")
    assert artifact_digest(file_entries(tree)) != before
