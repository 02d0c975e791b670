"""The training order: a pure function of data, config and step. No torch."""

from collections import Counter

import pytest

from jobs.train.order import micro_batches
from sftjobs.plan.arithmetic import general_in_epoch, optimizer_steps
from sftjobs.plan.sampler import Mixture, Order

TASKS = ["intent"] * 10 + ["extract"] * 7 + ["general"] * 20

GOLDEN = [14, 13, 2, 8, 0, 7, 12, 3, 1, 4, 6, 10, 15, 5, 9, 11, 16]


def order(**changes: object) -> Order:
    values: dict[str, object] = {"tasks": TASKS, "global_batch": 4, "seed": 7}
    mixture: dict[str, object] = {
        "epochs": {"intent": 3, "extract": 1},
        "general_ratio": 1.5,
        "general_max_repeats": 1,
    }
    mixture |= {name: changes.pop(name) for name in list(changes) if name in Mixture.__dataclass_fields__}
    return Order(**{**values, **changes}, mixture=Mixture(**mixture))  # type: ignore[arg-type]


def epochs_of(order: Order) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in order.sizes]
    for step in range(order.steps):
        found[order.epoch_of(step)] += order.batch(step)
    return found


def test_each_epoch_holds_every_task_with_passes_left_once() -> None:
    epochs = epochs_of(order())
    assert [Counter(TASKS[i] for i in epoch if TASKS[i] != "general") for epoch in epochs] == [
        {"intent": 10, "extract": 7},
        {"intent": 10},
        {"intent": 10},
    ]
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch)


def test_steps_and_sizes_are_those_of_the_plan() -> None:
    mixture = Mixture({"intent": 3, "extract": 1}, general_ratio=1.5)
    sizes = mixture.sizes({"intent": 10, "extract": 7, "general": 20})
    assert sizes == [17 + 20, 10 + 15, 10 + 15]  # 25.5 general ones were wanted at first: 20 exist
    assert optimizer_steps(sizes, 4) == 10 + 7 + 7
    made = order()
    assert made.sizes == sizes
    assert made.steps == 24
    assert [len(epoch) for epoch in epochs_of(made)] == sizes


@pytest.mark.parametrize("ratio, repeats, wanted", [(None, 1, 0), (0.25, 1, 3), (5.0, 1, 20), (5.0, 2, 40), (5, 9, 50)])
def test_general_examples_are_repeated_evenly_and_never_too_often(
    ratio: float | None, repeats: int, wanted: int
) -> None:
    made = order(general_ratio=ratio, general_max_repeats=repeats, epochs={"intent": 1, "extract": 0})
    uses = Counter(i for i in epochs_of(made)[0] if TASKS[i] == "general")
    assert sum(uses.values()) == wanted == general_in_epoch(10, 20, ratio, repeats)
    assert not uses or max(uses.values()) - min(uses[i] for i in range(17, 37)) <= 1


def test_a_new_draw_and_a_new_order_in_each_epoch() -> None:
    epochs = epochs_of(order(general_ratio=0.5))
    assert epochs[1] != epochs[2]
    assert {i for i in epochs[1] if i >= 17} != {i for i in epochs[2] if i >= 17}
    assert epochs_of(order(seed=8))[0] != epochs_of(order())[0]


def test_any_step_is_found_without_those_before_it() -> None:
    walked = order()
    in_order = [walked.batch(step) for step in range(walked.steps)]
    for step in (23, 0, 11, 10, 9, 17):
        assert order().batch(step) == in_order[step]


def test_order_is_the_same_in_every_version() -> None:
    """A golden value: a change of it breaks the resume of older checkpoints and needs a new program version."""
    assert order(general_ratio=None, global_batch=17).batch(0) == GOLDEN


def test_no_tasks_no_steps() -> None:
    assert Order([], Mixture({}), global_batch=4, seed=0).steps == 0


@pytest.mark.parametrize("size", [1, 2, 5, 8, 12])
@pytest.mark.parametrize("micro, world", [(4, 1), (2, 2), (3, 1), (1, 3)])
def test_micro_batches_cover_the_batch_and_keep_the_ranks_in_step(size: int, micro: int, world: int) -> None:
    batch = list(range(size))
    parts = micro_batches(batch, ["a"] * size, [100 - i for i in batch], micro, world)
    assert len(parts) == world
    assert len({len(rank) for rank in parts}) == 1
    assert sorted(i for rank in parts for chunk in rank for i in chunk) == batch
    assert max(len(chunk) for rank in parts for chunk in rank) <= micro


def test_micro_batches_group_by_task_and_length() -> None:
    tasks = ["b", "a", "b", "a", "b", "a", "a", "b"]
    lengths = [9, 30, 5, 10, 8, 12, 31, 4]
    [chunks] = micro_batches(list(range(8)), tasks, lengths, 2, 1)
    assert chunks == [[3, 5], [1, 6], [7, 2], [4, 0]]
