"""What `sftjobs.store.base.Store` promises, on every backend."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sftjobs.errors import AlreadyExistsError, ChangedError, NotFoundError
from sftjobs.store.base import Store
from sftjobs.store.probe import probe
from sftjobs.store.s3parts import PART

WRITERS = 16


def test_created_object_is_read_back(store: Store) -> None:
    etag = store.create("stages/data/k/COMMIT", b"body")
    found = store.get("stages/data/k/COMMIT")
    assert (found.body, found.etag) == (b"body", etag)


def test_creating_the_same_again_succeeds_with_the_same_etag(store: Store) -> None:
    assert store.create("a/b", b"mine") == store.create("a/b", b"mine")


def test_creating_other_content_is_refused_and_changes_nothing(store: Store) -> None:
    etag = store.create("a/b", b"mine")
    with pytest.raises(AlreadyExistsError, match="a/b exists already, with other content"):
        store.create("a/b", b"yours")
    found = store.get("a/b")
    assert (found.body, found.etag) == (b"mine", etag)


def test_one_of_many_creators_wins(store: Store) -> None:
    start = threading.Barrier(WRITERS)

    def writer(number: int) -> bool:
        start.wait()
        try:
            store.create("race/CLAIM", f"writer {number}".encode())
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(writer, range(WRITERS)))
    assert won.count(True) == 1
    assert store.get("race/CLAIM").body == f"writer {won.index(True)}".encode()


def test_one_of_many_replacers_wins(store: Store) -> None:
    etag = store.create("race/LEASE", b"old")
    start = threading.Barrier(WRITERS)

    def writer(number: int) -> bool:
        start.wait()
        try:
            store.replace("race/LEASE", f"writer {number}".encode(), etag)
        except ChangedError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(writer, range(WRITERS)))
    assert won.count(True) == 1
    assert store.get("race/LEASE").body == f"writer {won.index(True)}".encode()


def test_replace_follows_the_etag(store: Store) -> None:
    first = store.create("LEASE", b"1")
    second = store.replace("LEASE", b"2", first)
    assert second != first
    with pytest.raises(ChangedError, match="LEASE was changed by somebody else"):
        store.replace("LEASE", b"3", first)
    assert store.get("LEASE").body == b"2"
    assert store.get("LEASE").etag == second


def test_replacing_what_was_deleted_is_refused(store: Store) -> None:
    etag = store.create("LEASE", b"1")
    store.delete("LEASE")
    with pytest.raises(ChangedError, match="LEASE was deleted by somebody else"):
        store.replace("LEASE", b"2", etag)
    with pytest.raises(NotFoundError):
        store.get("LEASE")


def test_put_overwrites_and_changes_the_etag(store: Store) -> None:
    store.put("beat.json", b"1")
    first = store.get("beat.json").etag
    store.put("beat.json", b"2")
    assert store.get("beat.json").body == b"2"
    assert store.get("beat.json").etag != first


def test_listing_is_in_key_order_and_by_prefix(store: Store) -> None:
    keys = ["a-b", "a.b/c", "a/b", "a/c/d", "a/c/e", "ab", "b/x"]
    for key in reversed(keys):
        store.put(key, key.encode())
    entries = list(store.list(""))
    assert [entry.key for entry in entries] == sorted(keys)
    assert [entry.size for entry in entries] == [len(key) for key in sorted(keys)]
    assert [entry.key for entry in store.list("a/")] == ["a/b", "a/c/d", "a/c/e"]
    assert [entry.key for entry in store.list("a/c")] == ["a/c/d", "a/c/e"]
    assert [entry.key for entry in store.list("a")] == sorted(keys)[:-1]
    assert list(store.list("nothing/")) == []


def test_a_listing_longer_than_a_page(store: Store) -> None:
    keys = [f"events/{number:05d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert [entry.key for entry in store.list("events/")] == keys


def test_etag_of_a_listing_is_that_of_the_object(store: Store) -> None:
    etag = store.create("x", b"1")
    assert [entry.etag for entry in store.list("x")] == [etag]


def test_folders_are_those_with_objects(store: Store) -> None:
    for key in ("runs/b/OWNER", "runs/a/OWNER", "runs/a.b/OWNER", "runs/file", "stages/data/k/COMMIT"):
        store.put(key, b"1")
    assert store.list_folders("runs/") == ["a", "a.b", "b"]
    assert store.list_folders("") == ["runs", "stages"]
    store.delete("runs/b/OWNER")
    assert store.list_folders("runs/") == ["a", "a.b"]
    assert store.list_folders("nothing/") == []


def test_deleting_twice_succeeds(store: Store) -> None:
    store.put("x/y", b"1")
    store.delete("x/y")
    store.delete("x/y")
    with pytest.raises(NotFoundError, match="x/y"):
        store.get("x/y")


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/", "../a", "a/./b", "a\\b", "a\nb", "a/.tmp-1", "local/a"])
def test_keys_that_cannot_be(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="store key"):
        store.put(key, b"")


def test_names_of_other_languages(store: Store) -> None:
    store.put("runs/意图 v3 (ü+%20)/run.yaml", b"1")
    assert [entry.key for entry in store.list("runs/")] == ["runs/意图 v3 (ü+%20)/run.yaml"]
    assert store.get("runs/意图 v3 (ü+%20)/run.yaml").body == b"1"
    assert store.list_folders("runs/") == ["意图 v3 (ü+%20)"]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART + 5])
def test_files_of_every_size_go_there_and_back(store: Store, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(size))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    sent: list[int] = []
    received: list[int] = []
    assert store.upload("big/file", source, sent.append) == digest
    assert store.download("big/file", target, received.append) == digest
    assert target.read_bytes() == source.read_bytes()
    assert (sum(sent), sum(received)) == (size, size)
    read: list[int] = []
    assert store.digest("big/file", read.append) == digest
    assert sum(read) == size


@pytest.mark.parametrize("size", [10, PART + 10])
def test_upload_is_create_only(store: Store, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"a" * size)
    digest = store.upload("file", source)
    assert store.upload("file", source) == digest
    source.write_bytes(b"b" * size)
    with pytest.raises(AlreadyExistsError, match=r"file exists already, with other content than .*source"):
        store.upload("file", source)
    assert store.get("file").body == b"a" * size
    assert store.remove_leftovers(-60) == 0


def test_downloading_what_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing/here"):
        store.download("nothing/here", tmp_path / "target")
    with pytest.raises(NotFoundError, match="nothing/here"):
        store.digest("nothing/here")


def test_the_probe_passes_and_leaves_nothing(store: Store) -> None:
    probe(store)
    assert list(store.list("")) == []
    assert store.list_folders("") == []
