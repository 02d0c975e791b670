"""What an artifact is known by, and what cannot be part of one."""

import hashlib
import os
from pathlib import Path

import pytest

from sftjobs.artifact.digest import MAX_FILES, artifact_digest, file_entries, hash_file
from sftjobs.errors import DataError
from sftjobs.plan.types import FileEntry


def test_hash_of_a_file(tmp_path: Path) -> None:
    body = os.urandom(3_000_001)
    path = tmp_path / "file"
    path.write_bytes(body)
    seen: list[int] = []
    assert hash_file(path, seen.append) == (len(body), hashlib.sha256(body).hexdigest())
    assert sum(seen) == len(body)


def test_digest_is_the_written_formula() -> None:
    entries = [FileEntry(path="b", size=1, sha256="22"), FileEntry(path="a", size=0, sha256="11")]
    assert artifact_digest(entries) == hashlib.sha256(b'[["a",0,"11"],["b",1,"22"]]').hexdigest()


def test_entries_are_sorted_by_path(tmp_path: Path) -> None:
    for name in ("z", "a/b", "a-b", "ä"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert [entry.path for entry in file_entries(tmp_path)] == ["a-b", "a/b", "z", "ä"]
    assert file_entries(tmp_path / "nothing") == []


def test_a_link_inside_the_folder_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    entries = file_entries(tmp_path)
    assert [(entry.path, entry.size) for entry in entries] == [("link", 1), ("real", 1)]


def test_what_cannot_be_part_of_an_artifact(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    cases = {
        "leads out of the folder": lambda folder: (folder / "x").symlink_to(outside / "file"),
        "symbolic link to a folder": lambda folder: (folder / "x").symlink_to(outside),
        "leads nowhere": lambda folder: (folder / "x").symlink_to("nothing"),
        "no regular file": lambda folder: os.mkfifo(folder / "x"),
        "cannot be printed": lambda folder: (folder / "a\nb").write_text("x"),
        "reserved for unfinished writes": lambda folder: (folder / ".tmp-1").write_text("x"),
        "not valid UTF-8": lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("x"),
        "longer than 200 bytes": lambda folder: (folder / ("x" * 201)).write_text("x"),
    }
    for number, (reason, make) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder)
        with pytest.raises(DataError, match=f"cannot be part of an artifact: it .*{reason}"):
            file_entries(folder)


def test_too_many_files(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 1):
        (tmp_path / str(number)).touch()
    with pytest.raises(DataError, match="201 files, an artifact has at most 200; pack small files into one"):
        file_entries(tmp_path)
    assert len(file_entries(tmp_path, max_files=201)) == 201
