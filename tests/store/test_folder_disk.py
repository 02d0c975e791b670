"""The folder store on disks that are full, read-only, forbidden, or not fit for it."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs.artifact.digest import file_entries
from sftjobs.artifact.transfer import download_tree
from sftjobs.errors import SftError, StoreConfigError, StoreError
from sftjobs.names import Exit
from sftjobs.store.folder import FolderStore
from sftjobs.store.probe import probe
from tests.support.disks import small_file_system
from tests.support.forks import in_child

NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with small_file_system(tmp_path / "disk", "1m") as path:
        yield path


def test_a_full_disk_loses_nothing_committed(small_disk: Path, tmp_path: Path) -> None:
    store = FolderStore(small_disk / "store")
    etag = store.create("COMMIT", b"committed")
    source = tmp_path / "source"
    source.write_bytes(b"x" * (2 << 20))
    with pytest.raises(
        StoreError, match=r"copying .*source to inc/0/model: the disk is full \(\d+ MiB free\)"
    ) as caught:
        store.upload("inc/0/model", source)
    assert "nothing that was committed is lost; make room and resume the run" in str(caught.value)
    assert caught.value.exit_code == Exit.INFRASTRUCTURE
    with pytest.raises(StoreError, match="writing big: the disk is full"):
        store.create("big", b"x" * (2 << 20))
    with pytest.raises(StoreError, match="replacing COMMIT: the disk is full"):
        store.replace("COMMIT", b"x" * (2 << 20), etag)
    assert [entry.key for entry in store.list("")] == ["COMMIT"]
    assert store.get("COMMIT").body == b"committed"
    assert store.remove_leftovers(-60) == 0, "a failed write cleans up after itself"
    store.create("small", b"there is room again")


def test_a_full_disk_on_the_way_down(small_disk: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    source = tmp_path / "tree"
    source.mkdir()
    (source / "model").write_bytes(b"x" * (2 << 20))
    store.upload("content/model", source / "model")
    with pytest.raises(SftError, match=r"disk/down/.tmp-model: cannot be written: the disk is full"):
        download_tree(store, "content", file_entries(source), small_disk / "down")
    assert list((small_disk / "down").iterdir()) == []


def test_a_read_only_disk_is_read_but_not_written(small_disk: Path) -> None:
    store = FolderStore(small_disk / "store")
    store.create("COMMIT", b"committed")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert store.get("COMMIT").body == b"committed"
    for write in (
        lambda: probe(store),
        lambda: store.put("x", b""),
        lambda: store.create("x", b""),
        lambda: store.delete("COMMIT"),
    ):
        with pytest.raises(StoreConfigError, match="mounted read-only; choose another store or remount it"):
            write()
    store.delete("nothing")


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    root = tmp_path / "store"
    FolderStore(root).create("COMMIT", b"committed")
    root.chmod(0o555)

    def as_nobody() -> str:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        try:
            FolderStore(root).create("runs/x", b"")
        except StoreConfigError as error:
            return str(error)
        return "no error"

    code, message = in_child(as_nobody)
    root.chmod(0o755)
    assert code == 0
    assert f"{root}: while writing runs/x: permission denied" in message
    assert "needs to read, write and enter every folder of the store" in message


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreConfigError, match="the store has to be a folder, and there is a file with this name"):
        probe(FolderStore(tmp_path / "store"))


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_arguments: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(StoreConfigError, match=r"no hard links .* keep the store on another file system, or use S3"):
        probe(FolderStore(tmp_path / "store"))


def test_scratch_of_this_machine_is_no_part_of_the_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("runs/x", b"1")
    (tmp_path / "local" / "work").mkdir(parents=True)
    (tmp_path / "local" / "work" / ".tmp-mine").write_text("scratch")
    assert [entry.key for entry in store.list("")] == ["runs/x"]
    assert store.list_folders("") == ["runs"]
    assert store.remove_leftovers(-60) == 0


def test_only_old_leftovers_are_removed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("runs/x", b"1")
    for name, age_s in (("old", 7200), ("new", 0)):
        path = tmp_path / "runs" / f".tmp-{name}"
        path.write_text("half")
        stamp = path.stat().st_mtime - age_s
        os.utime(path, (stamp, stamp))
    assert store.remove_leftovers(older_than_s=3600) == 1
    assert [path.name for path in sorted((tmp_path / "runs").iterdir())] == [".tmp-new", "x"]


def test_a_store_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "not" / "yet")
    assert list(store.list("")) == []
    assert store.list_folders("runs/") == []
    store.delete("runs/x")
    assert not (tmp_path / "not").exists()
