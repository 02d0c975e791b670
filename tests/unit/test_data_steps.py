"""Duplicates, split, exclusion, limits, selection and advice on tables made by hand."""

import random
from pathlib import Path

import numpy as np
import pytest

from jobs.data import duplicates
from jobs.data.advice import Measured, advise, minimum_detectable_difference
from jobs.data.likeness import Likeness, find
from jobs.data.limits import apply_limits, select
from jobs.data.near import bands_of
from jobs.data.prepare import empty_sides, too_much_dropped
from jobs.data.protected import Protected, drop_overlaps
from jobs.data.section import histogram
from jobs.data.split import chance, set_aside
from jobs.data.table import Table
from sftjobs.plan.configs import DataConfig, SelectConfig, SourceConfig
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.tables import THRESHOLD, Row, make_table, rules, sides

PROMPT = PromptSpec(input="{{ x }}", labels={"a": "", "b": "", "c": ""}, output=OutputSpec(format="label"))


def config(**more: object) -> DataConfig:
    source = SourceConfig(input="task.t", format="jsonl", output_column="label", max_examples=more.pop("most", None))  # type: ignore[arg-type]
    given = {"prompt": PROMPT, "tasks": {"t": source}, "held_out_fraction": 0.1, "max_tokens": 9, "seed": 0}
    return DataConfig.model_validate({**given, **more})


def likeness(table: Table, protected: Protected | None = None) -> Likeness:
    given = protected or Protected()
    bands = given.bands if len(given.texts) else np.zeros((0, table.bands.shape[1]), table.bands.dtype)
    return find(table, bands, given.texts, THRESHOLD)


def split(table: Table, fraction: float, seed: int, dev: float | None = None) -> None:
    """As the stage does it."""
    duplicates.exact(table, "drop")
    found = likeness(table)
    set_aside(table, found, fraction, dev, seed, "general")
    drop_overlaps(table, found, Protected(), [])


def questions(table: Table, side: str) -> set[bytes]:
    return set(table["question"][table.kept(side)].tolist())  # type: ignore[arg-type]


def test_only_exact_duplicates_on_the_same_side_are_dropped(tmp_path: Path) -> None:
    rows = [Row("q"), Row("q", line=2), Row("Q"), Row("q", "b"), Row("q", task="u"), Row("q", side="held_out")]
    table = make_table(rows, tmp_path)
    duplicates.exact(table, "drop")
    assert rules(table) == [None, "duplicate", None, None, None, None]
    assert table.related.tolist() == [-1, 0, -1, -1, -1, -1]


def test_marked_duplicates_stay(tmp_path: Path) -> None:
    table = make_table([Row("q"), Row("q")], tmp_path)
    duplicates.exact(table, "flag")
    assert rules(table) == [None, None] and table.flagged(1) == ["duplicate"] and table.flagged(0) == []


LONG = "please tell me how much money is left in my savings account today"


@pytest.mark.parametrize(
    ("rows", "expected", "boundary"),
    [
        ([Row(LONG), Row(LONG + " please")], [None, "near_duplicate"], [False, False]),
        ([Row(LONG), Row(LONG + " please", "b")], [None, None], [True, True]),
        ([Row(LONG), Row(LONG + " please", task="u")], [None, None], [False, False]),
        ([Row("我想查一下我的信用卡账单还有多少钱"), Row("我想查一下我的信用卡账单还有多少钱呢")],
         [None, "near_duplicate"], [False] * 2),
        ([Row(LONG, "the whole text of one answer"), Row(LONG + " please", "the whole text of one answer!")],
         [None, "near_duplicate"], [False] * 2),
        ([Row(LONG, "one answer"), Row(LONG + " please", "quite another reply")], [None, None], [True, True]),
    ],
)  # fmt: skip
def test_near_duplicates(rows: list[Row], expected: list[str | None], boundary: list[bool], tmp_path: Path) -> None:
    table = make_table(rows, tmp_path)
    duplicates.near(table, likeness(table), "drop", THRESHOLD)
    assert rules(table) == expected
    assert table.boundary.tolist() == boundary


def test_what_repeats_a_dropped_example_stays(tmp_path: Path) -> None:
    """Of a chain of likenesses only those go that are like one that stays."""
    words = [f"word{i}" for i in range(30)]
    chain = [" ".join(words[i : i + 20]) for i in (0, 2, 4)]
    table = make_table([Row(text) for text in chain], tmp_path)
    found = likeness(table)
    assert found.pairs.tolist() == [[0, 1], [1, 2]] and found.cluster.tolist() == [0, 0, 0]
    duplicates.near(table, found, "drop", THRESHOLD)
    assert rules(table) == [None, "near_duplicate", None]


def test_conflicts_are_reported_and_kept(tmp_path: Path) -> None:
    table = make_table([Row("q"), Row("Q ", "b", line=2), Row("r"), Row("q", "b", task="u")], tmp_path)
    found = duplicates.conflicts(table, "keep")
    [conflict] = found.shown(table, 5)
    assert (conflict.task, conflict.question, conflict.answers) == ("t", "q", [("a", 1), ("b", 2)])
    assert rules(table) == [None] * 4 and table.flagged(0) == table.flagged(1) == ["conflict"]


def test_conflicts_by_majority_or_not_at_all(tmp_path: Path) -> None:
    rows = [Row("q"), Row("Q", "b"), Row("q ", "b"), Row("r", "a"), Row("R", "b"), Row("s")]
    for policy, expected in (
        ("majority", ["conflict", None, None, "conflict", "conflict", None]),
        ("drop", ["conflict"] * 5 + [None]),
    ):
        table = make_table(rows, tmp_path)
        duplicates.conflicts(table, policy)  # type: ignore[arg-type]
        assert rules(table) == expected


def test_general_data_is_never_set_aside_and_never_asks_a_held_out_question(tmp_path: Path) -> None:
    rows = [Row(f"q {i}") for i in range(50)] + [Row(f"Q  {i}", task="general") for i in range(50)]
    table = make_table(rows, tmp_path)
    split(table, 0.5, seed=3)
    held_out = questions(table, "held_out")
    assert 10 < len(held_out) < 40
    assert set(table["task"][table.kept("held_out")].tolist()) == {table.tasks.index("t")}
    dropped = [i for i, rule in enumerate(rules(table)) if rule == "held_out_exact"]
    assert set(table["question"][dropped].tolist()) == held_out


def test_no_question_is_on_two_sides_whatever_the_data(tmp_path: Path) -> None:
    draw = random.Random(0)
    for seed in range(50):
        rows = [
            Row(f"q {draw.randrange(8)}", draw.choice("ab"), draw.choice(["train", "held_out"]))  # type: ignore[arg-type]
            for _ in range(30)
        ]
        table = make_table(rows, tmp_path)
        split(table, 0.3, seed, dev=0.3)
        found = [questions(table, side) for side in ("train", "held_out", "dev")]
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]


def test_near_duplicates_are_on_one_side(tmp_path: Path) -> None:
    rows = [Row(f"{LONG} for customer {i // 3} {'please ' * (i % 3)}") for i in range(300)]
    table = make_table(rows, tmp_path)
    split(table, 0.3, seed=1)
    cluster = likeness(make_table(rows, tmp_path)).cluster
    for leader in np.unique(cluster):
        assert len({side for i, side in enumerate(sides(table)) if cluster[i] == leader}) == 1
    assert len(set(sides(table))) == 2 or len(np.unique(cluster)) == 1


def test_the_split_stays_when_data_is_appended(tmp_path: Path) -> None:
    words = [f"{chr(97 + i % 26)}{i}" for i in range(400)]
    rows = [Row(" ".join(words[i : i + 12])) for i in range(0, 380, 19)]
    before = make_table(rows, tmp_path)
    split(before, 0.4, seed=2)
    near = [Row(row.text + " again") for row in rows]
    after = make_table([*rows, *near, Row("something else entirely here")], tmp_path)
    split(after, 0.4, seed=2)
    assert sides(after)[: len(rows)] == sides(before)
    assert sides(after)[len(rows) : 2 * len(rows)] == sides(before), "a near-duplicate follows the one before it"


def test_a_held_out_question_is_recognised_with_its_instruction_and_in_an_earlier_turn(tmp_path: Path) -> None:
    def made(*texts: str, side: str = "train") -> Row:
        return Row("", side=side, messages=tuple((("user", "assistant")[i % 2], text) for i, text in enumerate(texts)))  # type: ignore[arg-type]

    rows = [
        made("Where is it?", "a", side="held_out"),
        made("where is it?", "b"),
        made("where is it?", "b", "And now?", "a"),
        made("And now?", "a", "Where is it?", "b"),
        made("And now?", "a", "Or what?", "b"),
        made("What is it?", "b"),
    ]
    table = make_table(rows, tmp_path)
    drop_overlaps(table, likeness(table), Protected(), [])
    assert rules(table) == [None, *["held_out_exact"] * 3, None, None]


def test_nearly_held_out_and_named_texts_and_waivers(tmp_path: Path) -> None:
    other = "which of the two tariffs is the cheaper one for somebody who never travels abroad"
    rows = [Row(LONG, side="held_out"), Row(LONG + " please"), Row(other + " by train"), Row("hello"), Row(other)]
    named = Protected([other], ["bench.jsonl:1"], bands_of([other], THRESHOLD))
    table = make_table(rows, tmp_path)
    drop_overlaps(table, likeness(table, named), named, [])
    assert rules(table) == [None, "held_out_near", "held_out_near", None, "held_out_exact"]
    assert table.related.tolist()[:2] == [-1, 0]
    waived = [rows[1].example().id, rows[4].example().id]
    table = make_table(rows, tmp_path)
    drop_overlaps(table, likeness(table, named), named, waived)
    assert rules(table) == [None, None, "held_out_near", None, None]


def test_general_data_alone_is_nothing_to_train_on(tmp_path: Path) -> None:
    table = make_table([Row("q", task="general"), Row("h", side="held_out")], tmp_path)
    assert empty_sides(table) == ["no training examples: of 1 records none came to this side; change data.held_out"]


def test_chance_is_even_and_fixed() -> None:
    draws = [chance(1, str(i)) for i in range(2000)]
    assert 0.47 < sum(draws) / len(draws) < 0.53
    assert chance(1, "x") == chance(1, "x") != chance(2, "x")


def test_limit_does_not_depend_on_the_order_of_the_data(tmp_path: Path) -> None:
    found = []
    for order in (range(20), reversed(range(20))):
        table = make_table([Row(f"q {i}") for i in order], tmp_path)
        apply_limits(table, config(most=5))
        found.append(set(table["id"][table.kept()].tolist()))
    assert found[0] == found[1] and len(found[0]) == 5


def test_limit_per_label(tmp_path: Path) -> None:
    table = make_table([Row(f"q {i}", "aab"[i % 3]) for i in range(30)], tmp_path)
    source = SourceConfig(input="task.t", format="jsonl", output_column="label", max_per_label=4)
    apply_limits(table, config(tasks={"t": source}))
    assert table.count(table.kept(), "label", table.labels) == {"a": 4, "b": 4, "c": 0}


def test_selection_leaves_general_data_alone(tmp_path: Path) -> None:
    rows = [Row(f"q {i}") for i in range(9)] + [Row(f"g {i}", task="general") for i in range(4)]
    table = make_table(rows, tmp_path)
    select(table, SelectConfig(keep=3, by="random", per_label="any"), seed=1)
    assert len(table.kept(task="t")) == 3 and len(table.kept(task="general")) == 4


def test_selection_by_label_and_difficulty(tmp_path: Path) -> None:
    rows = [Row(f"q {i}", "aaab"[i % 4], difficulty=("easy", "hard")[i % 8 == 0]) for i in range(80)]
    table = make_table(rows, tmp_path)
    chosen = SelectConfig(keep=30, by="random", per_label="balanced", per_difficulty="balanced")
    select(table, chosen, seed=1)
    kept = table.kept()
    numbers = {(int(a), int(d)): 0 for a, d in zip(table["label"], table["difficulty"], strict=True)}
    for row in kept:
        numbers[int(table["label"][row]), int(table["difficulty"][row])] += 1
    assert sorted(numbers.values()) == [7, 8, 15], "15 of each label, those of a half and half"


def test_why_a_side_is_empty(tmp_path: Path) -> None:
    table = make_table([Row("q"), Row("q", line=2)], tmp_path)
    duplicates.exact(table, "drop")
    table.drop(np.array([0]), "too_long")
    train, held_out = empty_sides(table)
    assert train.startswith("no training examples are left of 2: duplicate 1")
    assert "too_long 1 (raise data.max_tokens" in train
    assert held_out.startswith("no held-out examples: of 2 records none")


def test_too_much_is_dropped(tmp_path: Path) -> None:
    table = make_table([Row(f"q {i}") for i in range(10)], tmp_path)
    table.drop(np.arange(6), "echo")
    [message] = too_much_dropped(table, 0.5)
    assert message.startswith("6 of 10 training records of t were dropped by rules, more than data.max_dropped (50%)")
    assert "echo 6 (set data.clean.echo to flag or off" in message
    assert too_much_dropped(table, 0.6) == []
    limited = make_table([Row(f"q {i}") for i in range(10)], tmp_path)
    limited.drop(np.arange(9), "max_examples")
    assert too_much_dropped(limited, 0.5) == [], "a limit is no judgement"


def test_histogram_covers_every_length() -> None:
    assert histogram([]) == []
    assert histogram([3, 4, 9]) == [{"from": 0, "to": 8, "examples": 2}, {"from": 8, "to": 16, "examples": 1}]
    bins = histogram(list(range(5000)))
    assert len(bins) <= 20 and sum(one["examples"] for one in bins) == 5000


def test_minimum_detectable_difference_shrinks_with_the_root_of_the_examples() -> None:
    assert minimum_detectable_difference(157) == pytest.approx(0.1, abs=0.002)
    assert minimum_detectable_difference(400) == pytest.approx(minimum_detectable_difference(100) / 2)


def test_advice_says_what_could_be_better(tmp_path: Path) -> None:
    rows = [Row(f"q {i}") for i in range(30)] + [Row("r", "b", line=i) for i in range(4)] + [Row("h", side="held_out")]
    table = make_table(rows, tmp_path)
    duplicates.exact(table, "drop")
    tokens = {"too_long": 5, "counted": 10, "max_tokens": 9, "max": 40, "mean": 900.0, "common_prefix_tokens": 800}
    texts = " | ".join(one.text for one in advise(table, config(), Measured(tokens, 2)))
    for part in (
        "2 questions have more than one answer",
        "add held-out examples of b and c",
        "hold out more than 1 examples",
        "3 of 35 records repeat another",
        "raise data.max_tokens from 9",
        "shorten the constant part",
    ):
        assert part in texts
    free = config().model_copy(update={"prompt": PromptSpec(input="{{ x }}")})
    assert advise(make_table(rows[:1], tmp_path), free, Measured(None, 0)) == []
