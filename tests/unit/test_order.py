"""The training order: a pure function of data, config and step. No torch."""

from collections import Counter
from itertools import pairwise

import pytest

from jobs.train.order import micro_batches
from sftjobs.plan.arithmetic import general_in_epoch, optimizer_steps
from sftjobs.plan.sampler import Mixture, Order

TASKS = ["intent"] * 10 + ["extract"] * 7 + ["general"] * 20

LENGTHS = [20 + (37 * index) % 90 for index in range(len(TASKS))]

GOLDEN = [14, 13, 2, 8, 0, 7, 12, 3, 1, 4, 6, 10, 15, 5, 9, 11, 16]


BY_LENGTH = [[9, 14, 2, 7, 12], [0, 5, 10, 15, 3], [8, 13, 1, 6, 11], [16, 4]]


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
    assert Order([], Mixture({}), global_batch=4, seed=0, lengths=[]).steps == 0


@pytest.mark.parametrize("global_batch", [1, 3, 4, 12, 37, 100])
@pytest.mark.parametrize("ratio, repeats", [(1.5, 1), (5.0, 4)])
def test_batches_by_length_hold_what_the_plain_ones_hold(global_batch: int, ratio: float, repeats: int) -> None:
    plain, grouped = (
        order(global_batch=global_batch, general_ratio=ratio, general_max_repeats=repeats, lengths=lengths)
        for lengths in (None, LENGTHS)
    )
    assert grouped.steps == plain.steps and grouped.sizes == plain.sizes
    assert [sorted(epoch) for epoch in epochs_of(grouped)] == [sorted(epoch) for epoch in epochs_of(plain)]
    assert [len(grouped.batch(step)) for step in range(grouped.steps)] == [
        len(plain.batch(step)) for step in range(plain.steps)
    ]


def ragged(seed: int = 0, lengths: list[int] | None = None) -> Order:
    lengths = RAGGED if lengths is None else lengths
    return Order(["a"] * len(lengths), Mixture({"a": 2.0}), 8, seed, lengths)


RAGGED = [10 + int(400 * (index / 997) ** 3) for index in range(0, 997, 3)]
"""333 lengths with a long tail."""


def test_batches_by_length_are_even_and_mixed_anew_in_each_epoch() -> None:
    made = ragged()
    per_epoch = made.steps // 2
    widths = [max(RAGGED[i] for i in made.batch(step)) * 8 for step in range(per_epoch - 1)]
    tokens = [sum(RAGGED[i] for i in made.batch(step)) for step in range(per_epoch - 1)]
    assert sum(widths) / sum(tokens) < 1.06
    assert any(one > other for one, other in pairwise(widths[1:])), "short and long come mixed"
    first, second = ({frozenset(made.batch(step)) for step in range(at, at + per_epoch)} for at in (0, per_epoch))
    assert len(first & second) < per_epoch / 2
    assert ragged(seed=1).batch(3) != made.batch(3)
    assert [ragged().batch(step) for step in (7, 50)] == [made.batch(step) for step in (7, 50)]


def test_the_longest_example_comes_at_once_and_in_a_whole_batch() -> None:
    for seed in range(20):
        made = ragged(seed)
        for step in (0, made.steps // 2):
            assert max(RAGGED[i] for i in made.batch(step)) == max(RAGGED)
            assert len(made.batch(step)) == 8
    last = {max(RAGGED[i] for i in ragged(seed).batch(made.steps - 1)) for seed in range(20)}
    assert len(last) > 3, "the smaller batch of an epoch is not always the same examples"


def test_tasks_of_similar_length_stay_together() -> None:
    tasks = ["a", "b"] * 16
    lengths = [100 + index % 4 for index in range(32)]
    made = Order(tasks, Mixture({"a": 1.0, "b": 1.0}), 8, 0, lengths)
    assert all(len({tasks[i] for i in made.batch(step)}) == 1 for step in range(4))


def test_the_order_by_length_is_the_same_in_every_version() -> None:
    made = order(general_ratio=None, global_batch=5, lengths=LENGTHS)
    assert [made.batch(step) for step in range(4)] == BY_LENGTH


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
