"""Duplicates, split, exclusion, limits, selection and advice on entries made by hand."""

import random

import pytest

from jobs.data.advice import Measured, advise, minimum_detectable_difference
from jobs.data.dedup import conflicts, drop_duplicates
from jobs.data.examples import Source, make_example
from jobs.data.ledger import Entry, Side, kept
from jobs.data.prepare import empty_sides
from jobs.data.section import histogram
from jobs.data.select import balanced, limit, select
from jobs.data.split import chance, exclude_held_out, set_aside
from sftjobs.plan.configs import DataConfig, SelectConfig, SourceConfig
from sftjobs.spec.prompt import OutputSpec, PromptSpec


def entry(text: str, answer: str = "a", side: Side = "train", task: str = "t", line: int = 1) -> Entry:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return Entry(make_example(task, messages, Source("d", line), label=answer), side)


def rules(entries: list[Entry]) -> list[str | None]:
    return [one.rule for one in entries]


def test_only_exact_duplicates_on_the_same_side_are_dropped() -> None:
    entries = [
        entry("q"),
        entry("q", line=2),
        entry("Q"),
        entry("q", "b"),
        entry("q", task="u"),
        entry("q", side="held_out"),
    ]
    drop_duplicates(entries)
    assert rules(entries) == [None, "duplicate", None, None, None, None]


def test_conflicts_are_reported_and_kept() -> None:
    entries = [entry("q"), entry("Q ", "b", line=2), entry("r"), entry("q", "b", task="u")]
    [conflict] = conflicts(entries)
    assert (conflict.task, conflict.question, conflict.answers) == ("t", "q", [("a", 1), ("b", 2)])
    assert rules(entries) == [None] * 4


def test_general_data_is_never_set_aside_and_never_asks_a_held_out_question() -> None:
    entries = [entry(f"q {i}") for i in range(50)] + [entry(f"Q  {i}", task="general") for i in range(50)]
    set_aside(entries, 0.5, seed=3)
    exclude_held_out(entries)
    held_out = {one.question for one in kept(entries, "held_out")}
    assert 10 < len(held_out) < 40
    assert all(one.example.task == "t" for one in kept(entries, "held_out"))
    assert {one.question for one in entries if one.rule == "in_held_out"} == held_out


def test_no_question_is_on_both_sides_whatever_the_data() -> None:
    draw = random.Random(0)
    for seed in range(50):
        entries = [
            entry(f"q {draw.randrange(8)}", draw.choice("ab"), draw.choice(["train", "held_out"])) for _ in range(30)
        ]
        drop_duplicates(entries)
        set_aside(entries, 0.3, seed)
        exclude_held_out(entries)
        train, held_out = ({one.question for one in kept(entries, side)} for side in ("train", "held_out"))
        assert not train & held_out


def test_a_held_out_question_is_recognised_with_its_instruction_and_in_an_earlier_turn() -> None:
    def made(*texts: str, side: Side = "train", inputs: tuple[str, ...] = ()) -> Entry:
        messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
        return Entry(make_example("t", messages, Source("d", 1), inputs=inputs), side)

    entries = [
        made("Sort this.\n\nWhere is it?", "a", side="held_out", inputs=("Where is it?",)),
        made("Label this:\n\nwhere is it?", "a", inputs=("where is it?",)),
        made("Sort this.\n\nWhere is it?", "b"),
        made("Where is it?", "b"),
        made("where is it?", "b", "And now?", "a"),
        made("And now?", "a", "Where is it?", "b"),
    ]
    exclude_held_out(entries)
    assert rules(entries) == [None, *["in_held_out"] * 4, None]


def test_another_wording_of_the_instruction_leaves_the_split_as_it_was() -> None:
    def sides(instruction: str) -> list[str]:
        entries = [
            Entry(
                make_example(
                    "t",
                    [
                        {"role": "user", "content": f"{instruction}\n\n{i}"},
                        {"role": "assistant", "content": "a"},
                    ],
                    Source("d", i),
                    inputs=(str(i),),
                ),
                "train",
            )
            for i in range(40)
        ]
        set_aside(entries, 0.5, seed=1)
        return [one.side for one in entries]

    assert sides("Sort this.") == sides("Label this.")


def test_general_data_alone_is_nothing_to_train_on() -> None:
    entries = [entry("q", task="general"), entry("h", side="held_out")]
    assert empty_sides(entries) == ["no training examples: of 1 records none came to this side; change data.held_out"]


def test_chance_is_even_and_fixed() -> None:
    draws = [chance(1, str(i)) for i in range(2000)]
    assert 0.47 < sum(draws) / len(draws) < 0.53
    assert chance(1, "x") == chance(1, "x") != chance(2, "x")


def test_limit_does_not_depend_on_the_order_of_the_data() -> None:
    forward, backward = [[entry(f"q {i}") for i in order] for order in (range(20), reversed(range(20)))]
    for entries in (forward, backward):
        limit(entries, 5, "max_examples", seed=1)
    assert {one.example.id for one in kept(forward)} == {one.example.id for one in kept(backward)}
    assert len(kept(forward)) == 5


@pytest.mark.parametrize(
    ("available", "keep", "quotas"),
    [
        ({"a": 10, "b": 2, "c": 10}, 12, {"a": 5, "b": 2, "c": 5}),
        ({"a": 10, "b": 10}, 5, {"a": 2, "b": 3}),
        ({"a": 1, "b": 1}, 9, {"a": 1, "b": 1}),
        ({}, 9, {}),
    ],
)
def test_balanced_quotas(available: dict[str, int], keep: int, quotas: dict[str, int]) -> None:
    assert balanced(available, keep) == quotas


def test_selection_leaves_general_data_alone() -> None:
    entries = [entry(f"q {i}") for i in range(9)] + [entry(f"g {i}", task="general") for i in range(4)]
    select(entries, SelectConfig(keep=3, by="random", per_label="any"), seed=1)
    assert len(kept(entries, task="t")) == 3 and len(kept(entries, task="general")) == 4


def test_why_a_side_is_empty() -> None:
    entries = [entry("q"), entry("q", line=2)]
    drop_duplicates(entries)
    entries[0].rule = "too_long"
    train, held_out = empty_sides(entries)
    assert train.startswith("no training examples are left of 2: duplicate 1")
    assert "too_long 1 (raise data.max_tokens" in train
    assert held_out.startswith("no held-out examples: of 2 records none")


def test_histogram_covers_every_length() -> None:
    assert histogram([]) == []
    assert histogram([3, 4, 9]) == [{"from": 0, "to": 8, "examples": 2}, {"from": 8, "to": 16, "examples": 1}]
    bins = histogram(list(range(5000)))
    assert len(bins) <= 20 and sum(one["examples"] for one in bins) == 5000


def test_minimum_detectable_difference_shrinks_with_the_root_of_the_examples() -> None:
    assert minimum_detectable_difference(157) == pytest.approx(0.1, abs=0.002)
    assert minimum_detectable_difference(400) == pytest.approx(minimum_detectable_difference(100) / 2)


def test_advice_says_what_could_be_better() -> None:
    prompt = PromptSpec(input="{{ x }}", labels={"a": "", "b": "", "c": ""}, output=OutputSpec(format="label"))
    source = SourceConfig(input="task.t", format="jsonl", output_column="label")
    config = DataConfig(prompt=prompt, tasks={"t": source}, held_out_fraction=0.1, max_tokens=9, seed=0)
    entries = [entry(f"q {i}") for i in range(30)] + [entry("r", "b", line=i) for i in range(4)]
    entries += [entry("h", side="held_out")]
    drop_duplicates(entries)
    tokens = {"too_long": 5, "counted": 10, "max_tokens": 9, "max": 40, "mean": 900.0, "common_prefix_tokens": 800}
    texts = " | ".join(one.text for one in advise(entries, config, Measured(tokens, 2)))
    for part in (
        "2 questions have more than one answer",
        "add training examples of c (0) and b (1)",
        "add held-out examples of b and c",
        "hold out more than 1 examples",
        "3 of 35 records repeat another",
        "raise data.max_tokens from 9",
        "shorten the constant part",
    ):
        assert part in texts
    assert (
        advise(entries[:1], config.model_copy(update={"prompt": PromptSpec(input="{{ x }}")}), Measured(None, 0)) == []
    )
