"""Log chunks: order, numbering, outages, lines of several ranks."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sftjobs.agent import logs
from sftjobs.agent.logs import Log, Shipper
from sftjobs.agent.main import explained
from sftjobs.store.folder import FolderStore
from tests.support.agent_runner import until

PREFIX = "runs/r/logs/train/0/0/"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def chunks(store: FolderStore) -> dict[str, bytes]:
    return {entry.key.removeprefix(PREFIX): store.get(entry.key).body for entry in store.list(PREFIX)}


@contextmanager
def outage(store: FolderStore) -> Iterator[None]:
    """Every access to the store fails."""
    root = Path(store.uri)
    root.mkdir(exist_ok=True)
    away = root.with_name("away")
    root.rename(away)
    root.symlink_to(root)
    try:
        yield
    finally:
        # in one move: with no `root` for a moment, whoever tries again just then would make an empty store
        back = root.with_name("back")
        back.symlink_to(away)
        back.replace(root)


def test_what_is_left_is_written_at_the_end(store: FolderStore) -> None:
    shipper = Shipper(store, PREFIX)
    shipper.write(b"one\n")
    shipper.write(b"two\n")
    shipper.close(5)
    assert chunks(store) == {"000001.log": b"one\ntwo\n"}


def test_nothing_written_means_no_chunk(store: FolderStore) -> None:
    Shipper(store, PREFIX).close(5)
    assert chunks(store) == {}


def test_a_full_chunk_is_written_at_once(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CHUNK_BYTES", 4)
    shipper = Shipper(store, PREFIX)
    shipper.write(b"abcdefgh")
    until(lambda: len(chunks(store)) == 2, "two chunks")
    shipper.write(b"ijk")
    shipper.close(5)
    assert b"".join(chunks(store).values()) == b"abcdefghijk"


def test_time_flushes_too(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FIRST_FLUSH_S", 0.02)
    shipper = Shipper(store, PREFIX)
    shipper.write(b"abc")
    until(lambda: chunks(store) == {"000001.log": b"abc"}, "the chunk")
    shipper.close(5)


def test_a_second_pod_of_the_attempt_goes_on_counting(store: FolderStore) -> None:
    for text in (b"first", b"second"):
        shipper = Shipper(store, PREFIX)
        shipper.write(text)
        shipper.close(5)
    assert chunks(store) == {"000001.log": b"first", "000002.log": b"second"}


def test_an_outage_loses_nothing(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FIRST_FLUSH_S", 0.02)
    shipper = Shipper(store, PREFIX)
    shipper.write(b"before\n")
    until(lambda: len(chunks(store)) == 1, "the first chunk")
    with outage(store):
        shipper.write(b"during\n")
    shipper.close(5)
    assert b"".join(chunks(store).values()) == b"before\nduring\n"


def test_a_long_outage_keeps_the_newest(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_WAITING", 10)
    with outage(store):
        shipper = Shipper(store, PREFIX)
        shipper.write(b"0123456789")
        shipper.write(b"abcde")
    shipper.close(5)
    assert chunks(store) == {"000001.log": b"[5 bytes of log were lost while the store was away]\n56789abcde"}


def test_a_store_that_stays_away_does_not_hold_the_agent(store: FolderStore) -> None:
    with outage(store):
        shipper = Shipper(store, PREFIX)
        shipper.write(b"lost")
        shipper.close(0.05)
    shipper.close(5)


def test_lines_of_a_pipe_arrive_whole_prefixed_and_redacted(capfd: pytest.CaptureFixture[str]) -> None:
    shipped: list[bytes] = []
    log = Log(["secret-value"], shipped.append)
    reading, writing = os.pipe()
    log.follow(os.fdopen(reading, "rb"), 1, "[rank 1] ")
    pieces = [b"one\ntw", b"o\nit is sec", b"ret-value\n", b"no newline"]

    def write() -> None:
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    log.wait(5)
    wanted = "[rank 1] one\n[rank 1] two\n[rank 1] it is [redacted]\n[rank 1] no newline\n"
    assert b"".join(shipped).decode() == wanted
    assert capfd.readouterr().out == wanted


def test_a_line_without_end_is_passed_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "READ_BYTES", 8)
    shipped: list[bytes] = []
    log = Log([], shipped.append)
    reading, writing = os.pipe()
    log.follow(os.fdopen(reading, "rb"), 1, "")
    os.write(writing, b"x" * 100)
    until(lambda: sum(map(len, shipped)) >= 90, "the pieces")
    os.close(writing)
    log.wait(5)


def test_a_defect_of_the_agent_is_in_the_log_and_tells_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    """In a pod nobody sees its own output for long."""
    shipped: list[bytes] = []
    log = Log(["secret-value"], shipped.append)
    try:
        raise ValueError("key secret-value is refused")
    except ValueError as error:
        assert explained(error, log.say).failure == "infrastructure"
    text = b"".join(shipped).decode()
    assert "Traceback" in text and "ValueError: key [redacted] is refused" in text
    assert "secret-value" not in text + capfd.readouterr().err
