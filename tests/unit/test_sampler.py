"""Draws of each epoch: sizes, fractions, modes. The order itself is in test_order.py."""

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftjobs.plan.sampler import GENERAL, Mixture, Order
from sftjobs.spec.data import MixSpec

SIZES = {"a": 100, "b": 10, "c": 1}
EPOCHS = {"a": 1.0, "b": 2.5, "c": 0.5}
HALVES = [[2, 8, 0], [7, 12, 3], [1, 4, 6], [10, 5, 9], [11], [12, 0, 4], [10, 2]]
BY_TEMPERATURE = [[8, 0, 7, 3, 1, 4, 6, 7, 5]]


def test_fractions_of_an_epoch() -> None:
    assert Mixture(EPOCHS).draws(SIZES) == [
        {"a": 100, "b": 10, "c": 1, GENERAL: 0},  # half of one example, rounded half up
        {"a": 0, "b": 10, "c": 0, GENERAL: 0},
        {"a": 0, "b": 5, "c": 0, GENERAL: 0},
    ]


def test_fractions_are_those_that_are_written() -> None:
    """In binary numbers 2.05 - 2 is a little less than 0.05, and half an example would be rounded down."""
    assert [drawn["a"] for drawn in Mixture({"a": 2.05}).draws({"a": 30})] == [30, 30, 2]


def test_a_part_of_a_task_is_never_nothing() -> None:
    assert Mixture({"a": 0.1}).draws({"a": 2}) == [{"a": 1, GENERAL: 0}]
    assert Mixture({"a": 0.1}).draws({"a": 0}) == [{"a": 0, GENERAL: 0}]


def test_a_fraction_is_another_part_for_another_seed_and_each_example_once() -> None:
    tasks = ["a"] * 100
    parts = [Order(tasks, Mixture({"a": 0.3}), 8, seed).members(0) for seed in (1, 2)]
    assert [len(set(part)) for part in parts] == [30, 30]
    assert set(parts[0]) != set(parts[1])


def test_another_epoch_draws_another_part() -> None:
    order = Order(["a"] * 100 + ["b"] * 10, Mixture({"a": 2.0, "b": 2.0}, MixSpec(mode="weighted")), 8, 1)
    first, second = (set(order.drawn(epoch)["a"].more) for epoch in (0, 1))
    assert len(first) == len(second) == 55 and first != second


def test_draws_do_not_depend_on_the_order_of_the_tasks() -> None:
    """Binary sums of these weights do: planning and training would not agree on the steps."""
    weights = {"a": 1.5, "b": 0.5, "c": 1.2, "d": 2.6}
    mixture = Mixture(dict.fromkeys(weights, 1.0), MixSpec(mode="weighted"), weights)
    sizes = {"a": 59, "b": 28, "c": 52, "d": 6}
    found = [mixture.draws(dict(order)) for order in permutations(sizes.items())]
    assert all(draws == found[0] for draws in found) and mixture.sizes(sizes) == [145]


def test_the_order_of_fractions_and_shares_is_the_same_in_every_version() -> None:
    tasks = ["a"] * 6 + ["b"] * 3 + [GENERAL] * 4
    halves = Order(tasks, Mixture({"a": 1.5, "b": 1.0}, general_ratio=0.5), 3, 7)
    assert [halves.batch(step) for step in range(halves.steps)] == HALVES
    equal = Order(tasks, Mixture({"a": 1.0, "b": 1.0}, MixSpec(mode="temperature", temperature=2)), 9, 7)
    assert [equal.batch(step) for step in range(equal.steps)] == BY_TEMPERATURE


@pytest.mark.parametrize(
    ("mix", "drawn"),
    [
        (MixSpec(mode="weighted"), {"a": 37, "b": 37, "c": 37}),
        (MixSpec(mode="weighted", examples_per_epoch=7), {"a": 3, "b": 2, "c": 2}),
        (MixSpec(mode="temperature", temperature=1.0), {"a": 100, "b": 10, "c": 1}),
        (MixSpec(mode="temperature", temperature=2.0), {"a": 78, "b": 25, "c": 8}),
        (MixSpec(mode="capped", cap=10), {"a": 53, "b": 53, "c": 5}),
    ],
)
def test_modes(mix: MixSpec, drawn: dict[str, int]) -> None:
    """Temperature 2: 10, 3.16 and 1 of 14.16; capped: 10, 10 and 1 of 21 (T5, section 3.5.2), of 111 examples."""
    [found] = Mixture(dict.fromkeys(SIZES, 1.0), mix).draws(SIZES)
    assert found == {**drawn, GENERAL: 0}


def test_a_task_that_is_not_named_is_not_drawn() -> None:
    mixture = Mixture({"a": 1.0}, general_ratio=0.5)
    assert mixture.draws({"a": 4, "b": 9, GENERAL: 10}) == [{"a": 4, GENERAL: 2}]
    assert [mixture.draws_from(task) for task in ("a", "b", GENERAL)] == [True, False, True]
    assert not Mixture({"a": 1.0}).draws_from(GENERAL)


def test_a_last_epoch_of_some_tasks() -> None:
    """It comes after all others, whatever their mode, with general data in the same proportion."""
    mixture = Mixture({"a": 2.0, "b": 1.0}, general_ratio=0.5, extra={"b": 1.5})
    assert mixture.draws({"a": 4, "b": 2, GENERAL: 10}) == [
        {"a": 4, "b": 2, GENERAL: 3},
        {"a": 4, "b": 0, GENERAL: 2},
        {"b": 2, GENERAL: 1},
        {"b": 1, GENERAL: 1},
    ]
    capped = Mixture({"a": 1.0, "b": 1.0}, MixSpec(mode="capped", cap=1), extra={"b": 1.0})
    assert capped.draws({"a": 5, "b": 1}) == [{"a": 3, "b": 3, GENERAL: 0}, {"b": 1, GENERAL: 0}]


def test_a_share_of_a_task_beside_general_examples_that_are_passed_over() -> None:
    """Each epoch draws its share anew, and holds every general example once."""
    mixture = Mixture({GENERAL: 2.0, "a": 2.0}, shares={"a": 0.25})
    assert mixture.draws({"a": 10, GENERAL: 3}) == [{"a": 3, GENERAL: 3}] * 2
    order = Order(["a"] * 40 + [GENERAL] * 3, mixture, 4, seed=1)
    shares = [{i for i in order.members(epoch) if i < 40} for epoch in (0, 1)]
    assert [len(share) for share in shares] == [10, 10]
    assert shares[0] != shares[1]


def test_weights_and_general_data_on_top() -> None:
    mixture = Mixture({"a": 1.0, "b": 1.0}, MixSpec(mode="weighted", examples_per_epoch=40), {"a": 3.0}, 0.5, 2)
    assert mixture.draws({"a": 100, "b": 10, GENERAL: 8}) == [{"a": 30, "b": 10, GENERAL: 16}]


@given(
    sizes=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1),
    mode=st.sampled_from(["epochs", "weighted", "temperature", "capped"]),
    passes=st.floats(0.1, 3.9),
    per_epoch=st.one_of(st.none(), st.integers(1, 100)),
    seed=st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_what_is_drawn_is_what_was_counted(
    sizes: dict[str, int], mode: str, passes: float, per_epoch: int | None, seed: int
) -> None:
    tasks = [task for task in sorted(sizes) for _ in range(sizes[task])]
    mix = MixSpec(mode=mode, examples_per_epoch=per_epoch, cap=5)  # type: ignore[arg-type]
    mixture = Mixture(dict.fromkeys(sizes, passes), mix)
    order = Order(tasks, mixture, 7, seed)
    assert mixture.draws(dict(reversed(sizes.items()))) == mixture.draws(sizes)
    for epoch, drawn in enumerate(mixture.draws(sizes)):
        members = order.members(epoch)
        assert Counter(tasks[i] for i in members) == Counter({task: n for task, n in drawn.items() if n})
        uses = Counter(members)
        for task in sizes:
            of_task = [uses[i] for i in range(len(tasks)) if tasks[i] == task]
            assert max(of_task) - min(of_task) <= 1, "no example is used twice more than another of its task"
        assert len(members) == order.sizes[epoch]
    batches = [order.batch(step) for step in range(order.steps)]
    assert not batches or Order(tasks, mixture, 7, seed).batch(order.steps - 1) == batches[-1]
    assert sum(map(len, batches)) == sum(order.sizes)
