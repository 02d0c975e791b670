"""The sections of a report are read as what was committed, or not at all."""

from pathlib import Path

import pytest

from sftjobs.canonical import sha256
from sftjobs.errors import DamagedError
from sftjobs.report.publish import read_section
from sftjobs.store.folder import FolderStore


def test_a_section_is_what_was_committed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    body = b'{"rows": 3}'
    store.create("a/b.json", body)
    assert read_section(store, "a/b.json", sha256(body)) == {"rows": 3}
    with pytest.raises(DamagedError, match=r"a/b\.json is not what was committed; run `sftjobs discard"):
        read_section(store, "a/b.json", sha256(b"{}"))


def test_a_section_that_is_gone_is_damage_and_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"a/b\.json is missing although the stage is committed"):
        read_section(FolderStore(tmp_path), "a/b.json", "0" * 64)
