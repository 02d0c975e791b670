"""Inputs at another place of an S3 server: known by digest, read once, kept nowhere. Here the places are folders."""

from pathlib import Path

import pytest

from sftjobs.artifact.digest import artifact_digest
from sftjobs.canonical import sha256
from sftjobs.errors import DataError
from sftjobs.plan.inputs import DigestMemo, remote
from sftjobs.store.base import OnBytes
from sftjobs.store.folder import FolderStore


class Place(FolderStore):
    """A folder that counts how often an object is read whole."""

    reads = 0

    def digest(self, key: str, on_bytes: OnBytes | None = None) -> str:
        Place.reads += 1
        return super().digest(key, on_bytes)


@pytest.fixture
def place(tmp_path: Path) -> FolderStore:
    Place.reads = 0
    found = Place(tmp_path / "bucket")
    found.put("train.jsonl", b"one\n")
    found.put("model/config.json", b"{}")
    found.put("model/model.safetensors", b"weights")
    found.put("model-b/config.json", b"another")
    return found


def test_a_file_and_a_folder(place: FolderStore, tmp_path: Path) -> None:
    memo = DigestMemo(FolderStore(tmp_path / "store"))
    single = remote("s3://bucket/train.jsonl", lambda _: place, memo)
    assert (single.digest, [file.path for file in single.files]) == (sha256(b"one\n"), ["train.jsonl"])
    folder = remote("s3://bucket/model/", lambda _: place, memo)
    assert [file.path for file in folder.files] == ["config.json", "model.safetensors"]
    assert folder.digest == artifact_digest(folder.files)
    with pytest.raises(DataError, match="nothing there"):
        remote("s3://bucket/nothing", lambda _: place, memo)


def test_what_did_not_change_is_read_once_by_whoever_comes_first(place: FolderStore, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    first = remote("s3://bucket/model", lambda _: place, DigestMemo(store))
    assert Place.reads == 2
    assert remote("s3://bucket/model", lambda _: place, DigestMemo(store)) == first
    assert Place.reads == 2
    place.put("model/model.safetensors", b"other weights")
    changed = remote("s3://bucket/model", lambda _: place, DigestMemo(store))
    assert Place.reads == 3
    assert changed.digest != first.digest
