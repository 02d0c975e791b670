"""KILL at every line of every write of the folder store: what is there is complete, and the next writer succeeds."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sftjobs.store
from sftjobs.errors import AlreadyExistsError, ChangedError
from sftjobs.store.folder import FolderStore
from tests.support.forks import in_child, killed_at_line

SOURCES = str(Path(sftjobs.store.__file__).parent)
OLD, NEW = b"old" * 100, b"new" * 400_000  # NEW takes two rounds of the copying loop

Write = Callable[[FolderStore, Path], object]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if there is one: hundreds of stores are made, and fsync is slow on a busy disk."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def _replace(store: FolderStore, _source: Path) -> object:
    return store.replace("d/OBJECT", NEW, store.get("d/OBJECT").etag)


@pytest.mark.parametrize(
    ("write", "before"),
    [
        (lambda store, _source: store.create("d/OBJECT", NEW), {}),
        (lambda store, source: store.upload("d/OBJECT", source), {}),
        (lambda store, _source: store.put("d/OBJECT", NEW), {"d/OBJECT": OLD}),
        (_replace, {"d/OBJECT": OLD}),
        (lambda store, _source: store.delete("d/OBJECT"), {"d/OBJECT": NEW}),
    ],
    ids=["create", "upload", "put", "replace", "delete"],
)
def test_killed_anywhere(memory: Path, write: Write, before: dict[str, bytes]) -> None:
    source = memory / "source"
    source.write_bytes(NEW)
    outcomes = set()
    for nth in itertools.count(1):
        store = FolderStore(memory / str(nth))
        for key, body in before.items():
            store.put(key, body)
        killed = killed_at_line(lambda store=store: write(store, source), nth, SOURCES)
        outcomes.add(_visible(store))
        write(store, source)  # the next writer is not disturbed
        after = _visible(store)
        store.remove_leftovers(older_than_s=-60)
        assert _visible(store) == after
        assert _files(store) == set(after)
        shutil.rmtree(store.uri)
        if not killed:
            break
    complete = {(), (("d/OBJECT", NEW),)} if not before else {tuple(before.items()), after}
    assert outcomes == complete, "killed early it is the old state, killed late the new one, and never another"


def _visible(store: FolderStore) -> tuple[tuple[str, bytes], ...]:
    return tuple((entry.key, store.get(entry.key).body) for entry in store.list(""))


def _files(store: FolderStore) -> set[tuple[str, bytes]]:
    """Every file under the folder but for the locks."""
    root = Path(store.uri)
    files = [path for path in root.rglob("*") if path.is_file() and path.parent.parent.name != ".locks"]
    return {(path.relative_to(root).as_posix(), path.read_bytes()) for path in files if path.parent.name != ".locks"}


@pytest.mark.parametrize("operation", ["create", "replace"])
def test_one_of_many_processes_wins(tmp_path: Path, operation: str) -> None:
    store = FolderStore(tmp_path / "store")
    etag = store.create("race/LEASE", b"old") if operation == "replace" else ""
    gate_read, gate_write = os.pipe()
    children = []
    for number in range(16):
        pid = os.fork()
        if pid == 0:
            os.close(gate_write)
            os.read(gate_read, 1)  # until the parent closes its end: all start at once
            os._exit(_compete(store, operation, etag, number))
        children.append(pid)
    os.close(gate_read)
    os.close(gate_write)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert sorted(codes) == [0] + [7] * 15
    assert store.get("race/LEASE").body == f"writer {codes.index(0)}".encode()


def _compete(store: FolderStore, operation: str, etag: str, number: int) -> int:
    """0 for the winner, 7 for who comes too late, 1 for anything else."""
    body = f"writer {number}".encode()
    try:
        if operation == "create":
            store.create("race/LEASE", body)
        else:
            store.replace("race/LEASE", body, etag)
    except (AlreadyExistsError, ChangedError):
        return 7
    except BaseException:
        return 1
    return 0


def test_readers_never_see_half_an_object(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    bodies = [bytes([number]) * 200_000 for number in range(20)]
    store.put("beat.json", bodies[0])

    def write() -> str:
        for body in bodies * 5:
            store.put("beat.json", body)
        return ""

    pid = os.fork()
    if pid == 0:
        write()
        os._exit(0)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert store.get("beat.json").body in bodies
        assert [entry.size for entry in store.list("")] == [200_000]


def test_the_child_helper_reports() -> None:
    assert in_child(lambda: "said") == (0, "said")
