"""The node cache: shared by processes at once, killed, damaged, full, read-only. It costs a download at most."""

import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.agent import cache as module
from sftjobs.agent.cache import MIN_BYTES, SPARED_S, NodeCache, node_cache
from sftjobs.agent.inputs import fetch_inputs
from sftjobs.agent.stop import StopRequested
from sftjobs.artifact import stages
from sftjobs.artifact.digest import artifact_digest, file_entries, hash_file
from sftjobs.plan.types import External, FileEntry, FinishedInput, Manifest
from sftjobs.spec.run import StoreSpec
from sftjobs.store.open import open_store
from tests.support.agent_runner import AgentBench
from tests.support.disks import small_file_system
from tests.support.forks import killed_at_line
from tests.support.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed, seaweed

MIB = 1 << 20


class Bench:
    """A cache, a source of files and what was said."""

    def __init__(self, path: Path, max_bytes: int = 100 * MIB) -> None:
        self.path = path
        self.said: list[str] = []
        self.cache = NodeCache(path / "cache", max_bytes, self.said.append)
        self.source = path / "source"
        self.source.mkdir()

    def file(self, name: str, size: int = 2 * MIB, fill: bytes = b"") -> FileEntry:
        """A file as it was fetched."""
        path = self.source / name
        path.write_bytes((fill or name.encode()).ljust(16, b".") * (size // 16))
        length, sha256 = hash_file(path)
        return FileEntry(path=name, size=length, sha256=sha256)

    def kept(self, entry: FileEntry) -> Path:
        return self.cache.folder / "sha256" / entry.sha256

    def take(self, *entries: FileEntry, to: str = "work") -> list[str]:
        """Paths that were not there; what was there is right."""
        target = self.path / to
        missing = {entry.path for entry in self.cache.take(entries, target)}
        for entry in entries:
            if entry.path in missing:
                assert not (target / entry.path).exists()
            else:
                assert hash_file(target / entry.path) == (entry.size, entry.sha256)
        return sorted(missing)

    def files(self) -> list[str]:
        """Everything in the cache."""
        folder = self.cache.folder / "sha256"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def age(self, entry: FileEntry, seconds: float) -> None:
        then = time.time() - seconds
        os.utime(self.kept(entry), (then, then))


@pytest.fixture
def at(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_kept_is_taken_and_is_a_copy(at: Bench) -> None:
    large, small = at.file("model.bin"), at.file("config.json", size=MIN_BYTES // 2)
    assert at.take(large, small) == ["config.json", "model.bin"]
    at.cache.keep([large, small], at.source)
    assert at.files() == [large.sha256]
    assert at.take(large, small, to="next") == ["config.json"]
    assert at.said == ["node cache: 0 of 1 large files were there", "node cache: 1 of 1 large files were there"]
    assert at.kept(large).stat().st_mode & 0o222 == 0
    (at.path / "next" / "model.bin").write_bytes(b"a program that writes to its input")
    assert at.take(large, to="third") == [], "the cache has not noticed"


def test_many_processes_at_once(at: Bench) -> None:
    entries = [at.file(f"shard-{index}", size=3 * MIB) for index in range(4)]

    def pod(number: int) -> None:
        target = at.path / f"pod-{number}"
        for _ in range(3):
            missing = at.cache.take(entries, target)
            for entry in missing:
                (target / entry.path).parent.mkdir(parents=True, exist_ok=True)
                (target / entry.path).write_bytes((at.source / entry.path).read_bytes())
            at.cache.keep(missing, target)
            assert all(hash_file(target / entry.path) == (entry.size, entry.sha256) for entry in entries)
            if number % 2:
                at.kept(entries[number % 4]).unlink(missing_ok=True)  # an eviction at any moment

    pods = [multiprocessing.get_context("fork").Process(target=pod, args=(number,)) for number in range(8)]
    for process in pods:
        process.start()
    for process in pods:
        process.join(60)
    assert [process.exitcode for process in pods] == [0] * 8
    assert set(at.files()) <= {entry.sha256 for entry in entries}, "no temporary file is left"
    assert not any("damaged" in said for said in at.said)


def test_killed_at_any_line_while_it_keeps_a_file(tmp_path: Path) -> None:
    for nth in range(1, 200):
        (tmp_path / str(nth)).mkdir()
        at = Bench(tmp_path / str(nth))
        old, entry = at.file("old.bin", size=MIB), at.file("model.bin", size=MIB)
        at.cache.keep([old], at.source)
        killed = killed_at_line(lambda at=at, entry=entry: at.cache.keep([entry], at.source), nth, str(module.__file__))
        there = entry.sha256 in at.files()
        assert at.take(old, entry) == ([] if there else ["model.bin"])
        at.cache.keep([entry], at.source)
        assert at.take(entry, to="later") == [], "what a killed pod left is in nobody's way"
        assert not any("damaged" in said for said in at.said)
        if not killed:
            assert nth > 20 and there
            return
    raise AssertionError("it was killed each time")


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_file_is_removed_and_fetched_again(at: Bench, damage: str) -> None:
    entry, sound = at.file("model.bin"), at.file("other.bin")
    at.cache.keep([entry, sound], at.source)
    body = bytearray(at.kept(entry).read_bytes())
    body[MIB] ^= 1
    kept = {"flip": bytes(body), "truncate": bytes(body[:-1]), "empty": b""}[damage]
    at.kept(entry).chmod(0o644)
    at.kept(entry).write_bytes(kept)
    assert at.take(entry, sound) == ["model.bin"]
    assert f"node cache: {at.kept(entry)} is damaged; it is removed, and fetched again" in at.said
    assert at.files() == [sound.sha256]
    at.cache.keep([entry], at.source)
    assert at.take(entry, to="again") == []


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    at = Bench(tmp_path, max_bytes=7 * MIB)
    old, older, recent, new = (at.file(name) for name in ("old", "older", "recent", "new"))
    at.cache.keep([old, older, recent], at.source)
    at.age(old, 2 * SPARED_S)
    at.age(older, 3 * SPARED_S)
    assert at.take(older) == [], "its last use is now"
    at.cache.keep([new], at.source)
    assert at.files() == sorted(entry.sha256 for entry in (older, recent, new))
    assert at.said[-1] == f"node cache: {old.sha256[:12]} (0.0 GiB) made room"


def test_what_was_used_in_the_last_hour_stays(tmp_path: Path) -> None:
    at = Bench(tmp_path, max_bytes=5 * MIB)
    first, second, third, huge = at.file("a"), at.file("b"), at.file("c"), at.file("huge", size=6 * MIB)
    at.cache.keep([first, second], at.source)
    at.age(first, SPARED_S - 60)
    at.cache.keep([third, huge], at.source)
    assert at.files() == sorted([first.sha256, second.sha256])
    assert "is full of what was used in the last hour; a file is not kept" in at.said[-1]


def test_leftovers_of_killed_pods_are_removed_after_an_hour(at: Bench) -> None:
    entry = at.file("a")
    at.cache.keep([entry], at.source)
    old, fresh = (at.kept(entry).with_name(f".tmp-{name}") for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"x" * MIB)
    os.utime(old, (0, 0))
    at.cache.keep([at.file("b")], at.source)
    assert not old.exists()
    assert fresh.exists(), "somebody may be writing it"


def test_a_full_disk_is_a_warning(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", "3m") as disk:
        at = Bench(tmp_path)
        at.cache = NodeCache(disk / "cache", 100 * MIB, at.said.append)
        entries = [at.file("a"), at.file("b"), at.file("c")]
        at.cache.keep(entries, at.source)
        assert at.files() == [entries[0].sha256], "nothing half written is left"
        assert at.said == [f"node cache: {disk / 'cache'}: No space left on device; going on without it"]
        assert at.take(*entries) == ["b", "c"]


def test_a_read_only_cache_can_still_be_read(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", "9m") as disk:
        at = Bench(tmp_path)
        at.cache = NodeCache(disk / "cache", 100 * MIB, at.said.append)
        there, damaged, new = at.file("a"), at.file("b"), at.file("c")
        at.cache.keep([there, damaged], at.source)
        at.kept(damaged).chmod(0o644)
        at.kept(damaged).write_bytes(b"?" * damaged.size)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert at.take(there, damaged, new) == ["b", "c"]
        at.cache.keep([new], at.source)
        assert at.said[-1] == f"node cache: {disk / 'cache'}: Read-only file system; going on without it"


def test_a_cache_that_cannot_be_is_a_warning(at: Bench) -> None:
    (at.path / "cache").write_text("a file where a folder should be")
    entry = at.file("a")
    assert at.take(entry) == ["a"]
    at.cache.keep([entry], at.source)
    assert at.said[-1] == f"node cache: {at.cache.folder}: Not a directory; going on without it"


def test_a_stop_is_not_held_up_and_leaves_nothing_behind(at: Bench) -> None:
    entry = at.file("a", size=8 * MIB)

    def stop(_: int) -> None:
        raise StopRequested

    with pytest.raises(StopRequested):
        at.cache.keep([entry], at.source, stop)
    assert at.files() == []
    at.cache.keep([entry], at.source)
    with pytest.raises(StopRequested):
        at.cache.take([entry], at.path / "work", stop)
    assert list((at.path / "work").iterdir()) == []


def test_a_path_that_leads_out_is_left_to_the_fetcher_to_refuse(at: Bench) -> None:
    entry = at.file("a")
    at.cache.keep([entry], at.source)
    evil = entry.model_copy(update={"path": "../outside"})
    assert at.cache.take([evil], at.path / "work") == [evil]
    assert not (at.path / "outside").exists()


def test_the_environment_says_whether_there_is_one(tmp_path: Path) -> None:
    assert node_cache({}, print) is None
    found = node_cache({names.ENV_CACHE: str(tmp_path), names.ENV_CACHE_GIB: "3"}, print)
    assert found is not None and (found.folder, found.max_bytes) == (tmp_path, 3 << 30)


# --- in front of a real store -----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server() -> Iterator[Seaweed]:
    with seaweed() as running:
        yield running


def test_inputs_come_from_the_cache_once_it_has_them(
    at: Bench, bench: AgentBench, server: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", ACCESS_KEY)
    monkeypatch.setenv("SECRET", SECRET_KEY)
    fields = {"endpoint": server.endpoint, "access_key": {"env": "KEY"}, "secret_key": {"env": "SECRET"}}

    def open_uri(uri: str):
        return open_store(StoreSpec.model_validate({"uri": uri, **fields}), Path())

    store = open_uri(f"s3://{BUCKET}/sft")
    made, pushed, external = at.file("made.bin"), at.file("pushed.bin"), at.file("external.bin")
    claim = stages.claim(store, "data", "0" * 64)
    prefix = names.incarnation_prefix("data", "0" * 64, claim) + names.CONTENT
    places = {
        f"{prefix}/model/made.bin": made,
        names.pushed_input(pushed.sha256): pushed,
        "elsewhere/external.bin": external,
    }
    for key, entry in places.items():
        store.upload(key, at.source / entry.path)
    content = [made.model_copy(update={"path": "model/made.bin"})]
    manifest = Manifest(
        kind="data", key="0" * 64, incarnation=claim, digest=artifact_digest(content), content=content, info=[],
        inputs={}, versions={}, counts={},
    )  # fmt: skip
    ref = stages.ref(stages.commit(store, manifest), manifest)
    plan = bench.plan(
        inputs={
            "artifact": FinishedInput(artifact=ref, folder="model"),
            "pushed": FinishedInput(
                external=External(source=f"store:{pushed.sha256}/pushed.bin", digest=pushed.sha256, files=[pushed])
            ),
            "s3": FinishedInput(
                external=External(
                    source=f"s3://{BUCKET}/sft/elsewhere/external.bin", digest=external.sha256, files=[external]
                )
            ),
        }
    )
    for attempt in ("first", "second"):
        folder = at.path / attempt
        folder.mkdir()
        fetch_inputs(store, open_uri, plan, folder, cache=at.cache)
        seen = {f"{entry.path}": entry.sha256 for entry in file_entries(folder)}
        assert seen == {
            "artifact/made.bin": made.sha256,
            "pushed/pushed.bin": pushed.sha256,
            "s3/external.bin": external.sha256,
        }
        for key in places:
            store.delete(key)  # the second time there is nothing to fetch
    assert len(at.files()) == 3
