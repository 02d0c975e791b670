"""A training with several ranks is stopped by one of them, saved by all, and goes on to the same bytes."""

import pytest

from sftjobs import names
from sftjobs.names import Exit
from tests.support.dist_cases import Trained, Variant, World
from tests.support.dist_resume import (
    LATE,
    OTHER_ENGINE,
    OTHER_RANKS,
    RESUMED_LATE,
    STEPS,
    STOP,
    STOPPED,
    checkpoint,
    resumed,
    resumed_late,
    stopped,
    undisturbed,
    unfit,
)
from tests.support.ranks import run_ranks
from tests.support.training import losses, tree

EACH = pytest.mark.parametrize("variant", STOPPED, ids=lambda one: one.name)


@pytest.fixture(scope="module")
def after(world: World, done: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    found: Trained = {}
    for ranks in (2, 4):
        folder = tmp_path_factory.mktemp(f"after-{ranks}")
        more = resumed_late(world, done) | unfit(world, done, folder) if ranks == 2 else {}
        found |= run_ranks(ranks, resumed(world, done, ranks) | more, folder)
    return found


@EACH
def test_all_ranks_save_once_after_the_same_step(variant: Variant, done: Trained) -> None:
    result = done[stopped(variant)]
    assert result.codes == [Exit.STOPPED] * variant.ranks
    assert result.messages == [f"saved after step {STOP} of {STEPS}"] * variant.ranks
    assert sorted(path.name for path in result.outcome.checkpoints.iterdir()) == [names.step_folder(STOP)]
    folders = [names.rank_folder(rank) for rank in range(variant.ranks)]
    assert sorted(path.name for path in checkpoint(done, variant).iterdir()) == folders


@EACH
def test_it_ends_with_the_same_bytes(variant: Variant, done: Trained, after: Trained) -> None:
    before, found = done[undisturbed(variant)], after[variant.name]
    assert before.codes == found.codes == [0] * variant.ranks, (before.messages, found.messages)
    assert losses(found.outcome) == losses(before.outcome)
    assert tree(found.outcome.content) == tree(before.outcome.content)
    assert found.outcome.counts == before.outcome.counts


def test_a_training_without_a_step_left_is_that_of_the_checkpoint(done: Trained, after: Trained) -> None:
    before, found = done[undisturbed(LATE)], after[RESUMED_LATE]
    assert found.codes == [0, 0], found.messages
    assert tree(found.outcome.content) == tree(before.outcome.content)
    assert found.outcome.counts == before.outcome.counts


@pytest.mark.parametrize("variant", STOPPED[1:], ids=lambda one: one.name)
def test_no_rank_writes_what_another_has(variant: Variant, done: Trained) -> None:
    """Each part holds its share of the float32 weights and of both moments, 12 bytes for each trained parameter."""
    parts = [checkpoint(done, variant) / names.rank_folder(rank) / "shard.pt" for rank in range(variant.ranks)]
    sizes = [part.stat().st_size for part in parts]
    trained = done[undisturbed(variant)].outcome.counts["trainable_parameters"]
    assert 12 * trained <= sum(sizes) < 12 * trained + 20_000 * variant.ranks
    assert max(sizes) < 1.1 * min(sizes)


def test_a_checkpoint_of_another_engine_is_refused(after: Trained) -> None:
    refused = after[OTHER_ENGINE]
    assert refused.codes == [Exit.BAD_CHECKPOINT] * 2
    assert "was made with zero-1, this training has zero-2 (train.zero)" in refused.messages[0]
    assert "`sftjobs resume RUN --restart-stage STAGE` deletes it" in refused.messages[0]


def test_a_checkpoint_of_another_number_of_ranks_is_refused(after: Trained) -> None:
    refused = after[OTHER_RANKS]
    assert refused.codes == [Exit.BAD_CHECKPOINT] * 2
    assert "was made by 4 ranks, this training has 2" in refused.messages[0]
