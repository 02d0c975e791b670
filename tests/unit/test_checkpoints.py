"""Checkpoints in the store: complete or invisible, damaged ones skipped, what is kept."""

import random
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact import checkpoints, retention
from sftjobs.artifact.checkpoints import Place, StoredCheckpoint
from sftjobs.errors import CheckpointError, DamagedError
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


def save(store: FolderStore, tmp_path: Path, step: int, incarnation: int = 1, ranks: int = 1, nodes: int = 1) -> None:
    """`ranks` of each node."""
    place = Place(store, "train", KEY, incarnation)
    folder = local(tmp_path, step, ranks * nodes)
    for node in range(nodes):
        checkpoints.upload_part(place, folder, node, range(node * ranks, (node + 1) * ranks))
    checkpoints.commit(place, step, ranks * nodes, nodes)


def fetch(store: FolderStore, tmp_path: Path, world: int = 1, node: int = 0) -> Path:
    """The newest one."""
    found = checkpoints.list_checkpoints(store, "train", KEY)[0]
    return checkpoints.fetch_part(store, "train", KEY, found, world, node, tmp_path / f"fetched-{node}")


def test_none_at_first(store: FolderStore) -> None:
    assert checkpoints.list_checkpoints(store, "train", KEY) == []


def test_the_newest_comes_back_with_all_ranks(store: FolderStore, tmp_path: Path) -> None:
    for step in (9, 10, 100):
        save(store, tmp_path, step, ranks=2)
    folder = fetch(store, tmp_path, world=2)
    assert folder.name == names.step_folder(100)
    assert (folder / names.rank_folder(1) / "state").read_text() == "100 of 1"


def test_a_node_gets_its_own_ranks_and_rank_0(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5, ranks=2, nodes=3)
    folders = [fetch(store, tmp_path, world=6, node=node) for node in range(3)]
    there = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert there == [[names.rank_folder(rank) for rank in ranks] for ranks in ((0, 1), (0, 2, 3), (0, 4, 5))]


def test_it_is_visible_once_every_node_has_uploaded(store: FolderStore, tmp_path: Path) -> None:
    place, folder = Place(store, "train", KEY, 1), local(tmp_path, 5, 2)
    checkpoints.upload_part(place, folder, 0, [0])
    with pytest.raises(DamagedError, match=r"node-00001\.json is not there"):
        checkpoints.commit(place, 5, 2, 2)
    checkpoints.upload_part(place, folder, 1, [1])
    store.delete(place.prefix(5) + f"{names.rank_folder(1)}/state")
    with pytest.raises(DamagedError, match=r"rank-00001/state is not there, 6 bytes were uploaded"):
        checkpoints.commit(place, 5, 2, 2)
    assert checkpoints.list_checkpoints(store, "train", KEY) == []


def test_a_later_incarnation_of_a_step_is_newer(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5, incarnation=2)
    save(store, tmp_path, 5, incarnation=10)
    save(store, tmp_path, 4, incarnation=11)
    found = checkpoints.list_checkpoints(store, "train", KEY)
    assert found == [StoredCheckpoint(5, 10), StoredCheckpoint(5, 2), StoredCheckpoint(4, 11)]


def test_without_commit_it_does_not_exist(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5)
    store.delete(names.checkpoint_commit("train", KEY, 5, 1))
    assert checkpoints.list_checkpoints(store, "train", KEY) == []


def test_an_upload_may_be_repeated(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5)
    save(store, tmp_path, 5)
    assert len(checkpoints.list_checkpoints(store, "train", KEY)) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "part", "commit"])
def test_damage_is_found(store: FolderStore, tmp_path: Path, damage: str) -> None:
    save(store, tmp_path, 6)
    prefix = names.checkpoint_prefix("train", KEY, 1, 6)
    file = tmp_path / "store" / prefix / names.rank_folder(0) / "state"
    if damage == "changed":
        file.write_text("6 of X")
    elif damage == "missing":
        file.unlink()
    elif damage == "part":
        path = tmp_path / "store" / prefix / names.node_part(0)
        path.write_text(path.read_text().replace("state", "other"))
    else:
        (tmp_path / "store" / names.checkpoint_commit("train", KEY, 6, 1)).write_text("{}")
    with pytest.raises(DamagedError) as error:
        fetch(store, tmp_path)
    assert error.value.key.startswith("stages/train/")


def test_another_number_of_ranks_is_refused(store: FolderStore, tmp_path: Path) -> None:
    save(store, tmp_path, 5, ranks=2)
    with pytest.raises(
        CheckpointError, match="made by 2 ranks, this training has 1; `sftjobs resume RUN --restart-stage"
    ):
        fetch(store, tmp_path)


def test_prune_keeps_the_newest(store: FolderStore, tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(store, tmp_path, step)
    assert retention.prune(store, "train", KEY, newest=4) == [StoredCheckpoint(2, 1), StoredCheckpoint(1, 1)]
    assert [found.step for found in checkpoints.list_checkpoints(store, "train", KEY)] == [4, 3]
    assert len(list(store.list(names.stage_prefix("train", KEY)))) == 6
    retention.prune(store, "train", KEY, newest=4, last=0)
    assert [found.step for found in checkpoints.list_checkpoints(store, "train", KEY)] == [4]


def test_milestones_stay_whenever_they_were_saved(store: FolderStore, tmp_path: Path) -> None:
    """As the clock gives them: 100 and 200 were never saved exactly."""
    for step in (40, 95, 130, 170, 205, 230, 260, 290):
        save(store, tmp_path, step)
        retention.prune(store, "train", KEY, newest=step, last=1, every=100)
    assert [found.step for found in checkpoints.list_checkpoints(store, "train", KEY)] == [290, 205, 130]
    prefix = names.stage_prefix("train", KEY) + "inc/"
    left = {entry.key.split("/")[-2] for entry in store.list(prefix) if "rank" in entry.key}
    assert left == {names.rank_folder(0)}
    assert len([entry for entry in store.list(prefix) if names.rank_folder(0) in entry.key]) == 3


def test_a_milestone_that_was_saved_again_is_the_newer_one() -> None:
    found = [StoredCheckpoint(100, 1), StoredCheckpoint(100, 2), StoredCheckpoint(300, 2)]
    assert retention.superfluous(found, 300, last=1, every=100) == [StoredCheckpoint(100, 1)]


@pytest.mark.parametrize("every", [None, 1, 3, 7])
@pytest.mark.parametrize("last", [1, 2, 5])
def test_what_the_next_attempt_would_take_is_never_superfluous(last: int, every: int | None) -> None:
    """Whatever was saved by whom: the newest up to one's own step, and everything beyond it."""
    draw = random.Random(f"{last}/{every}")
    for _ in range(300):
        found = {StoredCheckpoint(draw.randrange(1, 30), draw.randrange(1, 4)) for _ in range(draw.randrange(1, 12))}
        newest = draw.choice(sorted(found)).step
        doomed = set(retention.superfluous(found, newest, last, every))
        mine = sorted(one for one in found if one.step <= newest)
        assert doomed <= set(mine[:-last])
        if every is not None:
            for multiple in range(every, newest + 1, every):
                later = [one.step for one in mine if multiple <= one.step < multiple + every]
                assert not later or min(later) in {one.step for one in found - doomed}


def test_prune_never_takes_what_was_just_saved_below_damaged_ones(store: FolderStore, tmp_path: Path) -> None:
    for step in (8, 9):
        save(store, tmp_path, step)
        file = tmp_path / "store" / names.checkpoint_prefix("train", KEY, 1, step) / names.rank_folder(0) / "state"
        file.write_text("damaged")
    for step in (1, 2, 3):
        save(store, tmp_path, step, incarnation=2)
        retention.prune(store, "train", KEY, newest=step)
    assert [found.step for found in checkpoints.list_checkpoints(store, "train", KEY)] == [9, 8, 3, 2]


def test_complete_means_every_rank(tmp_path: Path) -> None:
    local(tmp_path, 1, ranks=2)
    local(tmp_path, 2, ranks=1)
    (tmp_path / "local" / "other").mkdir()
    assert checkpoints.complete_steps(tmp_path / "local", range(2)) == [1]
    assert checkpoints.complete_steps(tmp_path / "nowhere", range(2)) == []
