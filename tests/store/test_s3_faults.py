"""The S3 store when the network and the server misbehave: faults on the wire to a real server."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sftjobs.artifact.digest import file_entries
from sftjobs.artifact.transfer import download_tree, upload_tree
from sftjobs.errors import AlreadyExistsError, ChangedError, DamagedError, StoreConfigError, StoreError
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from sftjobs.store.probe import probe
from sftjobs.store.s3parts import PART
from tests.support.faultproxy import (
    FOREVER,
    FaultProxy,
    answer,
    corrupt_download,
    corrupt_upload,
    hold,
    ignore_condition,
    lose_request,
    lose_response,
    truncate_download,
    truncate_upload,
)
from tests.support.seaweed import Seaweed, client_of

LARGE = 2 * PART + 100


@pytest.fixture
def proxy(server: Seaweed) -> Iterator[FaultProxy]:
    with FaultProxy(server.endpoint) as running:
        yield running


@pytest.fixture
def spec(proxy: FaultProxy, s3_spec: StoreSpec, monkeypatch: pytest.MonkeyPatch) -> StoreSpec:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    return s3_spec.model_copy(update={"endpoint": proxy.endpoint})


@pytest.fixture
def store(spec: StoreSpec, tmp_path: Path) -> Store:
    return open_store(spec, tmp_path)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    source = tmp_path / "tree" / "large"
    source.parent.mkdir()
    source.write_bytes(os.urandom(LARGE))
    return source


def plain_put(server: Seaweed) -> Callable[[str, bytes], str]:
    """Writes an object without any condition, past the proxy; returns the ETag."""
    client = client_of(server.endpoint)

    def put(path: str, body: bytes) -> str:
        bucket, _, key = path.lstrip("/").partition("/")
        return client.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]

    return put


@pytest.mark.parametrize(
    "fault",
    [
        answer("PUT", "COMMIT", 503, "SlowDown", times=2),
        answer("PUT", "COMMIT", 500, "InternalError"),
        answer("PUT", "COMMIT", 409, "ConditionalRequestConflict"),
        answer("PUT", "COMMIT", 412, "PreconditionFailed"),
        lose_request("PUT", "COMMIT"),
        lose_response("PUT", "COMMIT"),
        truncate_upload("PUT", "COMMIT"),
        corrupt_upload("PUT", "COMMIT"),
    ],
    ids=["503", "500", "409", "spurious-412", "request-lost", "response-lost", "truncated", "corrupted"],
)
def test_create_survives(store: Store, proxy: FaultProxy, fault: object) -> None:
    proxy.script(fault)
    etag = store.create("COMMIT", b"my nonce")
    found = store.get("COMMIT")
    assert (found.body, found.etag) == (b"my nonce", etag)
    assert sum(line.startswith("PUT") for line in proxy.seen) >= 2


def test_a_lost_response_does_not_hide_a_lost_race(store: Store, proxy: FaultProxy) -> None:
    store.create("COMMIT", b"theirs")
    proxy.script(lose_response("PUT", "COMMIT"))
    with pytest.raises(AlreadyExistsError):
        store.create("COMMIT", b"mine")


@pytest.mark.parametrize(
    "fault",
    [
        answer("PUT", "LEASE", 503, "SlowDown"),
        answer("PUT", "LEASE", 409, "ConditionalRequestConflict"),
        lose_request("PUT", "LEASE"),
        lose_response("PUT", "LEASE"),
    ],
    ids=["503", "409", "request-lost", "response-lost"],
)
def test_replace_survives_and_its_etag_is_the_next_condition(store: Store, proxy: FaultProxy, fault: object) -> None:
    etag = store.create("LEASE", b"1")
    proxy.script(fault)
    etag = store.replace("LEASE", b"2", etag)
    assert store.replace("LEASE", b"3", etag)
    with pytest.raises(ChangedError):
        store.replace("LEASE", b"4", etag)


@pytest.mark.parametrize(
    "fault",
    [
        answer("PUT", "partNumber=2", 503, "SlowDown"),
        lose_request("PUT", "partNumber=2"),
        lose_response("PUT", "partNumber=1"),
        truncate_upload("PUT", "partNumber=3"),
        corrupt_upload("PUT", "partNumber=1"),
        answer("POST", "uploadId", 503, "SlowDown"),
        answer("POST", "uploadId", 409, "ConditionalRequestConflict"),
        lose_response("POST", "uploadId"),
    ],
    ids=["503", "request-lost", "response-lost", "truncated", "corrupted", "end-503", "end-409", "end-lost"],
)
def test_large_upload_survives(store: Store, proxy: FaultProxy, large: Path, tmp_path: Path, fault: object) -> None:
    proxy.script(fault)
    moved: list[int] = []
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    assert store.upload("large", large, moved.append) == digest
    assert sum(moved) == LARGE
    assert store.download("large", tmp_path / "back") == digest


def test_a_failed_large_upload_leaves_nothing(store: Store, proxy: FaultProxy, large: Path) -> None:
    proxy.script(answer("PUT", "partNumber=2", 500, "InternalError", FOREVER))
    with pytest.raises(StoreError, match=r"copying .*large to large: failed with HTTP 500 InternalError"):
        store.upload("large", large)
    assert list(store.list("")) == []
    assert store.remove_leftovers(-3600) == 0


def test_what_a_killed_upload_leaves_is_removed_when_old(store: Store, proxy: FaultProxy, large: Path) -> None:
    proxy.script(
        answer("PUT", "partNumber=2", 400, "InvalidRequest", FOREVER),
        answer("DELETE", "uploadId", 500, "InternalError", FOREVER),
    )
    with pytest.raises(StoreError):
        store.upload("large", large)
    assert store.remove_leftovers(3600) == 0
    proxy.clear()
    assert store.remove_leftovers(-3600) == 1
    assert store.remove_leftovers(-3600) == 0


@pytest.mark.parametrize("body", [b"x" * 1000, b"x" * 3_000_000], ids=["small", "large"])
def test_get_survives_a_torn_response(store: Store, proxy: FaultProxy, body: bytes) -> None:
    store.put("MANIFEST.json", body)
    proxy.script(truncate_download("MANIFEST"), answer("GET", "MANIFEST", 503, "SlowDown"))
    assert store.get("MANIFEST.json").body == body


def test_download_survives_torn_and_refused_parts(store: Store, proxy: FaultProxy, large: Path, tmp_path: Path) -> None:
    digest = store.upload("large", large)
    proxy.script(truncate_download("large"), truncate_download("large"), answer("GET", "large", 503, "SlowDown"))
    moved: list[int] = []
    assert store.download("large", tmp_path / "back", moved.append) == digest
    assert sum(moved) == LARGE


def test_a_bit_that_flips_on_the_way_is_fetched_again(
    store: Store, proxy: FaultProxy, large: Path, tmp_path: Path
) -> None:
    entries = file_entries(large.parent)
    upload_tree(store, "content", large.parent, entries)
    proxy.script(corrupt_download("large"))
    download_tree(store, "content", entries, tmp_path / "back")
    assert (tmp_path / "back" / "large").read_bytes() == large.read_bytes()


def test_damage_names_the_object_and_leaves_no_file(
    store: Store, proxy: FaultProxy, large: Path, tmp_path: Path
) -> None:
    entries = file_entries(large.parent)
    upload_tree(store, "content", large.parent, entries)
    proxy.script(corrupt_download("large", FOREVER))
    with pytest.raises(DamagedError, match=r"content/large is damaged: SHA-256 .* `sftjobs discard") as caught:
        download_tree(store, "content", entries, tmp_path / "back")
    assert caught.value.key == "content/large"
    assert list((tmp_path / "back").iterdir()) == []


def test_a_slow_listing_is_waited_for(store: Store, proxy: FaultProxy) -> None:
    store.put("a", b"1")
    go = threading.Event()
    proxy.script(hold("GET", "list-type=2", go))
    timer = threading.Timer(0.5, go.set)
    timer.start()
    assert [entry.key for entry in store.list("")] == ["a"]
    timer.join()


def test_a_server_that_stays_down_is_named_with_the_attempts(store: Store, proxy: FaultProxy) -> None:
    proxy.script(answer("GET", "", 503, "ServiceUnavailable", FOREVER))
    with pytest.raises(StoreError, match=r"reading x: failed with HTTP 503 ServiceUnavailable: .* after 3 attempts"):
        store.get("x")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("if-none-match", "no conditional writes: an object was created twice"),
        ("if-match", "no conditional replacement: an outdated ETag was accepted"),
    ],
)
def test_a_server_without_conditional_writes_is_refused(
    store: Store, server: Seaweed, proxy: FaultProxy, header: str, message: str
) -> None:
    proxy.script(ignore_condition(header, plain_put(server)))
    with pytest.raises(StoreConfigError, match=message):
        probe(store)
    assert list(store.list("")) == []


def test_a_read_only_server_is_refused(store: Store, proxy: FaultProxy) -> None:
    proxy.script(answer("PUT", "", 403, "AccessDenied", FOREVER), answer("DELETE", "", 403, "AccessDenied", FOREVER))
    with pytest.raises(StoreConfigError, match=r"writing probe/.* refused \(AccessDenied: scripted\)"):
        probe(store)
