"""Checkpoints in the store: complete or invisible, damaged ones skipped, the newest two kept."""

from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact import checkpoints
from sftjobs.artifact.checkpoints import StoredCheckpoint
from sftjobs.store.folder import FolderStore

KEY = "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def local(tmp_path: Path, step: int, ranks: int = 1) -> Path:
    folder = tmp_path / "local" / names.step_folder(step)
    for rank in range(ranks):
        (folder / names.rank_folder(rank)).mkdir(parents=True, exist_ok=True)
        (folder / names.rank_folder(rank) / "state").write_text(f"{step} of {rank}")
    return folder


def save(store: FolderStore, tmp_path: Path, step: int, incarnation: int = 1, ranks: int = 1) -> None:
    checkpoints.upload(store, "train", KEY, incarnation, local(tmp_path, step, ranks), ranks)


def fetch(store: FolderStore, tmp_path: Path, ranks: int = 1) -> tuple[Path | None, list[str]]:
    said: list[str] = []
    return checkpoints.fetch_newest(store, "train", KEY, ranks, tmp_path / "fetched", said.append), said


def test_none_at_first(store: FolderStore, tmp_path: Path) -> None:
    assert fetch(store, tmp_path) == (None, [])


def test_the_newest_comes_back_with_all_ranks(store: FolderStore, tmp_path: Path) -> None:
    for step in (9, 10, 100):
        save(store, tmp_path, step, ranks=2)
    folder, said = fetch(store, tmp_path, ranks=2)
    assert folder is not None
    assert folder.name == names.step_folder(100)
    assert (folder / names.rank_folder(1) / "state").read_text() == "100 of 1"
    assert said == []


def test_a_later_incarnation_of_a_step_is_newer(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5, incarnation=2)
    save(store, tmp_path, 5, incarnation=10)
    save(store, tmp_path, 4, incarnation=11)
    found = checkpoints.list_checkpoints(store, "train", KEY)
    assert found == [StoredCheckpoint(5, 10), StoredCheckpoint(5, 2), StoredCheckpoint(4, 11)]


def test_without_commit_it_does_not_exist(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5)
    store.delete(names.checkpoint_commit("train", KEY, 5, 1))
    assert fetch(store, tmp_path) == (None, [])


def test_an_upload_may_be_repeated(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5)
    save(store, tmp_path, 5)
    assert len(checkpoints.list_checkpoints(store, "train", KEY)) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "commit"])
def test_a_damaged_one_is_skipped(store: FolderStore, tmp_path: Path, damage: str) -> None:
    save(store, tmp_path, 5)
    save(store, tmp_path, 6)
    file = tmp_path / "store" / names.checkpoint_prefix("train", KEY, 1, 6) / names.rank_folder(0) / "state"
    if damage == "changed":
        file.write_text("6 of X")
    elif damage == "missing":
        file.unlink()
    else:
        (tmp_path / "store" / names.checkpoint_commit("train", KEY, 6, 1)).write_text("{}")
    folder, said = fetch(store, tmp_path)
    assert folder is not None
    assert folder.name == names.step_folder(5)
    assert len(said) == 1
    assert said[0].startswith("checkpoint of step 6 is skipped, an older one will be used: stages/train/")


def test_another_number_of_ranks_is_skipped(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5, ranks=2)
    assert fetch(store, tmp_path, ranks=1) == (None, ["checkpoint of step 5 is of 2 ranks, not 1"])


def test_prune_keeps_the_newest(store: FolderStore, tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(store, tmp_path, step)
    assert checkpoints.prune(store, "train", KEY, newest=4) == [StoredCheckpoint(2, 1), StoredCheckpoint(1, 1)]
    assert [found.step for found in checkpoints.list_checkpoints(store, "train", KEY)] == [4, 3]
    assert len(list(store.list(names.stage_prefix("train", KEY)))) == 4
    checkpoints.prune(store, "train", KEY, newest=4, keep=0)
    assert [found.step for found in checkpoints.list_checkpoints(store, "train", KEY)] == [4]


def test_prune_never_takes_what_was_just_saved_below_damaged_ones(store: FolderStore, tmp_path: Path) -> None:
    for step in (8, 9):
        save(store, tmp_path, step)
        file = tmp_path / "store" / names.checkpoint_prefix("train", KEY, 1, step) / names.rank_folder(0) / "state"
        file.write_text("damaged")
    for step in (1, 2, 3):
        save(store, tmp_path, step, incarnation=2)
        checkpoints.prune(store, "train", KEY, newest=step)
    assert [found.step for found in checkpoints.list_checkpoints(store, "train", KEY)] == [9, 8, 3, 2]
    folder, said = fetch(store, tmp_path)
    assert folder is not None
    assert folder.name == names.step_folder(3)
    assert len(said) == 2


def test_complete_means_every_rank(tmp_path: Path) -> None:
    local(tmp_path, 1, ranks=2)
    local(tmp_path, 2, ranks=1)
    (tmp_path / "local" / "other").mkdir()
    assert checkpoints.complete_steps(tmp_path / "local", 2) == [1]
    assert checkpoints.complete_steps(tmp_path / "nowhere", 2) == []
