"""The table of the mixture: the same as counting what training draws."""

import random

import pytest

from sftjobs.plan.mixture import SHOWN, general_table, mixture_lines, mixture_table
from sftjobs.plan.sampler import GENERAL, Mixture, Order
from sftjobs.spec.data import MixSpec

TASKS = ["b"] * 30 + [GENERAL] * 20 + ["a"] * 10
random.Random(3).shuffle(TASKS)
TOKENS = [10 + 7 * i % 40 for i in range(len(TASKS))]
SUPERVISED = [1 + i % 5 for i in range(len(TASKS))]


@pytest.mark.parametrize(
    "mixture",
    [
        Mixture({"a": 3.0, "b": 1.5}, general_ratio=0.2),
        Mixture({"a": 2.0, "b": 1.0}, MixSpec(mode="weighted"), {"a": 4.0}, general_ratio=1.0, general_max_repeats=2),
        Mixture({"a": 1.0, "b": 1.0}, MixSpec(mode="capped", cap=10, examples_per_epoch=200)),
        Mixture({"a": 1.0}, general_ratio=0.5, extra={"b": 1.5}),
        Mixture({GENERAL: 2.0, "b": 2.0}, shares={"b": 0.3}),
    ],
)
def test_figures_are_those_of_what_is_drawn(mixture: Mixture) -> None:
    rows = mixture_table(TASKS, TOKENS, SUPERVISED, mixture, seed=5)
    drawn_from = [i for i, task in enumerate(TASKS) if mixture.draws_from(task)]
    order = Order([TASKS[i] for i in drawn_from], mixture, 4, 5)
    for epoch in range(len(order.sizes)):
        members = [drawn_from[number] for number in order.members(epoch)]
        of_epoch = [row for row in rows if row["epoch"] == epoch + 1]
        assert {row["task"] for row in of_epoch} == {TASKS[i] for i in members}
        for row in of_epoch:
            own = [i for i in members if TASKS[i] == row["task"]]
            assert row["examples"] == len(own)
            assert row["of"] == TASKS.count(row["task"])
            assert row["uses"] == pytest.approx(len(own) / row["of"], abs=1e-3)
            assert row["tokens"] == sum(TOKENS[i] for i in own)
            assert row["supervised_tokens"] == sum(SUPERVISED[i] for i in own)
            assert row["share"] == pytest.approx(len(own) / len(members), abs=1e-4)
            assert row["token_share"] == pytest.approx(row["tokens"] / sum(TOKENS[i] for i in members), abs=1e-4)


def test_general_data_as_asked_and_as_drawn() -> None:
    mixture = Mixture({"a": 2.0, "b": 1.0}, general_ratio=1.0)
    rows = mixture_table(TASKS, [10 if task == GENERAL else 5 for task in TASKS], SUPERVISED, mixture, seed=5)
    assert [row["task"] for row in rows] == ["a", "b", GENERAL, "a", GENERAL]
    assert general_table(rows, 1.0) == [
        {"epoch": 1, "general": 20, "domain": 40, "asked": 1.0, "examples": 0.5, "tokens": 1.0},
        {"epoch": 2, "general": 10, "domain": 10, "asked": 1.0, "examples": 1.0, "tokens": 2.0},
    ]
    assert general_table(rows, None) == []


def test_missing_general_data_is_a_ratio_of_zero() -> None:
    rows = mixture_table(["a"] * 4, [1] * 4, [1] * 4, Mixture({"a": 1.0}, general_ratio=0.5), seed=0)
    assert general_table(rows, 0.5) == [
        {"epoch": 1, "general": 0, "domain": 4, "asked": 0.5, "examples": 0.0, "tokens": 0.0}
    ]


def test_tokens_that_were_not_counted_are_missing_and_not_zero() -> None:
    tokens = [-1, *TOKENS[1:]]
    rows = mixture_table(TASKS, tokens, SUPERVISED, Mixture({"a": 1.0, "b": 1.0}, general_ratio=0.5), seed=5)
    assert {(row["tokens"], row["supervised_tokens"], row["token_share"]) for row in rows} == {(None, None, None)}
    assert general_table(rows, 0.5)[0]["tokens"] is None
    assert mixture_lines(rows)[1][5:] == ["-", "-", "-"]


def test_many_epochs_are_cut() -> None:
    rows = mixture_table(["a"], [3], [1], Mixture({"a": 500.0}), seed=0)
    assert [row["epoch"] for row in rows] == list(range(1, SHOWN + 1))


def test_as_text() -> None:
    rows = mixture_table(["a"] * 3000 + ["b"] * 1000, [2] * 4000, [1] * 4000, Mixture({"a": 1.0, "b": 0.5}), seed=0)
    assert mixture_lines(rows) == [
        ["epoch", "task", "examples", "uses", "share", "tokens", "supervised", "share of tokens"],
        ["1", "a", "3,000 of 3,000", "1", "85.7%", "6,000", "3,000", "85.7%"],
        ["1", "b", "500 of 1,000", "0.5", "14.3%", "1,000", "500", "14.3%"],
    ]


def test_nothing_to_train_on() -> None:
    assert mixture_table([], [], [], Mixture({}), seed=0) == []


def test_the_example_of_the_page_on_mixing() -> None:
    """docs/mixing.md says these figures."""
    sizes = {"intent": 900, "extract": 300, "rewrite": 60}
    weights = {"rewrite": 2.0}
    found = {
        "epochs": (900, 300, 60),
        "weighted": (315, 315, 630),
        "temperature": (687, 396, 177),
        "capped": (573, 573, 114),
    }
    for mode, expected in found.items():
        mix = MixSpec.model_validate({"mode": mode, "cap": 300})
        [drawn] = Mixture(dict.fromkeys(sizes, 1.0), mix, weights).draws(sizes)
        assert tuple(drawn[task] for task in sizes) == expected
    [drawn] = Mixture(dict.fromkeys(sizes, 1.0), MixSpec(mode="temperature", temperature=10)).draws(sizes)
    assert tuple(drawn[task] for task in sizes) == (474, 425, 361)
    supervised = {"intent": 4, "extract": 60, "rewrite": 90, GENERAL: 200}
    tasks = [task for task, size in {**sizes, GENERAL: 2000}.items() for _ in range(size)]
    of_task = [supervised[task] for task in tasks]
    mixture = Mixture(dict.fromkeys(sizes, 1.0), general_ratio=0.2)
    rows = mixture_table(tasks, of_task, of_task, mixture, seed=42)
    assert [(row["task"], row["examples"], row["supervised_tokens"], row["token_share"]) for row in rows] == [
        ("extract", 300, 18_000, 0.2326),
        ("intent", 900, 3_600, 0.0465),
        ("rewrite", 60, 5_400, 0.0698),
        (GENERAL, 252, 50_400, 0.6512),
    ]
