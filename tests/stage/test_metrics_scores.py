"""Figures of one model: intervals for every kind of metric, slices, and the size of the report section."""

import random
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from jobs.answers.metrics import BUILT_IN, Metric
from jobs.answers.parse import parser
from jobs.answers.predict import Prediction, predict
from jobs.eval.intervals import interval
from jobs.eval.score import by_label, rate, scores
from jobs.eval.section import MAX_ROWS, section
from jobs.eval.statistics import wilson
from jobs.eval.words import failures, in_words, notes
from jobs.lm.generate import Answer, Generation
from sftjobs.canonical import canonical
from sftjobs.spec.prompt import OutputSpec, PromptSpec

LABELS = ["a", "b", "c", "d"]


def _lines(
    pairs: list[tuple[str, str]], metrics: list[Metric], labels: list[str] = LABELS, **fields: Any
) -> list[Prediction]:
    parse = parser(PromptSpec(input="{{ x }}", labels=dict.fromkeys(labels, ""), output=OutputSpec(format="label")))
    return [
        predict(
            {"id": str(i), "task": "t", "label": expected, "messages": [], **fields}, expected, said, parse, metrics
        )
        for i, (expected, said) in enumerate(pairs)
    ]


def _scored(name: str, values: list[float | None]) -> list[dict[str, Any]]:
    return [{"scores": {name: value}} for value in values]


def test_the_interval_of_a_mean_that_is_not_skewed_is_near_student_t() -> None:
    values = np.random.default_rng(1).uniform(0.3, 0.7, size=60).tolist()
    found = rate(_scored("chrf", [*values, None]), BUILT_IN["chrf"])  # type: ignore[list-item]
    theirs = stats.t.interval(0.95, 59, loc=np.mean(values), scale=stats.sem(values))
    assert found["n"] == 60
    assert (found["low"], found["high"]) == pytest.approx(theirs, abs=0.006)
    assert (found["kind"], "correct" in found) == ("mean", False)


def test_the_interval_of_scores_that_are_mostly_0_covers_their_mean() -> None:
    draw = np.random.default_rng(4)
    hits = 0
    for _ in range(200):
        values = np.where(draw.random(50) < 0.9, 0, draw.random(50)).tolist()
        found = interval(BUILT_IN["chrf"], _scored("chrf", values), 0.95)  # type: ignore[arg-type]
        assert found is not None
        hits += found.low <= 0.05 <= found.high
    assert hits / 200 > 0.92  # Student's t: 0.91


def test_scores_that_are_all_equal_get_the_widest_interval() -> None:
    for metric, values in ((BUILT_IN["chrf"], [1.0] * 5), (BUILT_IN["rouge_l"], [0.5] * 6), (BUILT_IN["chrf"], [0.4])):
        found = interval(metric, _scored(metric.name, values), 0.95)  # type: ignore[arg-type]
        assert found is not None
        z2 = stats.norm.ppf(0.975) ** 2
        n, p = len(values), values[0]
        half = np.sqrt(z2) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        assert found.high - found.low == pytest.approx(min(1, 2 * half), abs=0.2)
        assert found.low <= p <= found.high
    assert interval(BUILT_IN["loss"], _scored("loss", [2.0]), 0.95) is None
    assert interval(BUILT_IN["loss"], _scored("loss", [2.0, 2.0]), 0.95) is None


def test_nothing_scored_has_no_value() -> None:
    found = rate(_scored("loss", [None]), BUILT_IN["loss"])  # type: ignore[arg-type]
    assert (found["value"], found["n"], found["low"], found["high"]) == (None, 0, None, None)
    assert in_words("loss", found, 0.95) == "loss: no answer could be scored"


def _draw(random_: random.Random, n: int) -> list[tuple[str, str]]:
    expected = random_.choices("abc", weights=[6, 3, 1], k=n)
    return [(one, one if random_.random() < 0.7 else random_.choice("abcd")) for one in expected]


def test_the_interval_of_macro_f1_is_near_that_of_a_plain_bootstrap() -> None:
    metric = BUILT_IN["macro_f1"]
    pairs = _draw(random.Random(2), 120)
    found = interval(metric, _lines(pairs, [metric]), 0.95)
    draw = np.random.default_rng(3)
    values = []
    for _ in range(1_000):
        chosen = [pairs[i] for i in draw.integers(0, len(pairs), len(pairs))]
        expected, said = zip(*chosen, strict=True)
        values.append(f1_score(expected, said, labels=sorted(set(expected)), average="macro", zero_division=0))
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.03)


def test_the_interval_of_macro_f1_covers_the_truth() -> None:
    metric, draw = BUILT_IN["macro_f1"], random.Random(5)
    truth = metric.value(_lines(_draw(draw, 40_000), [metric]))
    assert truth is not None
    hits = 0
    for _ in range(120):
        found = interval(metric, _lines(_draw(draw, 150), [metric]), 0.95)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits / 120 > 0.9


def test_a_model_that_is_always_right_may_be_wrong_elsewhere() -> None:
    lines = _lines([("a", "a"), ("b", "b")] * 5, [BUILT_IN["macro_f1"]])
    found = rate(lines, BUILT_IN["macro_f1"])
    expected = wilson(10, 10, 0.95)
    assert (found["value"], found["low"], found["high"]) == (1.0, expected.low, expected.high)


def test_slices() -> None:
    metrics = [BUILT_IN["accuracy"], BUILT_IN["chrf"]]
    lines = [
        *_lines([("a", "a"), ("b", "a")], metrics, difficulty="hard", source={"digest": "f" * 64, "line": 1}),
        *_lines([("b", "b")], metrics, task="chat"),
    ]
    result = scores(lines, metrics, "hash")
    assert {name: result["by_task"][name]["accuracy"]["correct"] for name in result["by_task"]} == {"chat": 1, "t": 1}
    assert list(result["by_difficulty"]) == ["hard"]
    assert result["by_difficulty"]["hard"]["accuracy"]["n"] == 2
    assert list(result["by_source"]) == ["f" * 12]
    assert result["by_source"]["f" * 12]["chrf"]["value"] == pytest.approx(0.5)
    assert result["by_label"]["b"]["metrics"]["accuracy"]["value"] == 0.5
    assert by_label(lines)["b"]["metrics"] == {}


def test_in_words() -> None:
    lines = _lines([("a", "a")] * 162 + [("a", "b")] * 38, [BUILT_IN["accuracy"], BUILT_IN["chrf"]])
    told = in_words("accuracy", rate(lines, BUILT_IN["accuracy"]), 0.95)
    assert told == "accuracy 0.810 (162 of 200; 95 % interval 0.750 to 0.858)"
    assert in_words("chrf", rate(lines, BUILT_IN["chrf"]), 0.95).startswith("chrf 0.810 (200 examples; 95 %")


def test_the_most_frequent_reasons_why_answers_cannot_be_read() -> None:
    said = ["a or b"] * 3 + ["I'm sorry"] * 2 + [""] * 2 + ["no clue at all what that is"] + ["a"] * 92
    lines = _lines([("a", text) for text in said], [BUILT_IN["accuracy"]])
    found = failures(lines)
    assert [(one["class"], one["count"], len(one["samples"])) for one in found] == [
        ("several_labels", 3, 2),
        ("empty", 2, 2),
        ("refusal", 2, 2),
    ]
    one_label, unread = notes(scores(lines, [BUILT_IN["accuracy"]], ""), lines, 8, 0)
    assert one_label.startswith("every held-out example expects the label 'a'")
    assert unread.startswith(
        "8 of 100 answers could not be read: 3 several_labels (more than one label), e.g. 'a or b'"
    )


def test_the_section_stays_below_its_limit() -> None:
    labels = [f"label number {i:04d} with a long name" for i in range(1_000)]
    metrics = [metric for metric in BUILT_IN.values() if metric.formats is None]
    draw = random.Random(1)
    lines = _lines([(labels[i % 1_000], draw.choice(labels)) for i in range(3_000)], metrics, labels)
    long = "很长" * 200_000
    lines = [
        {
            **line,
            "prediction": long,
            "expected": long,
            "task": f"task {i}",
            "source": {"digest": str(i)},
            "difficulty": i,
        }
        for i, line in enumerate(lines)
    ]
    result = scores(lines, metrics, "hash")
    generation = Generation([Answer([], True)] * len(lines), 0, None, 1, 1, 1.0)
    found = section(result, lines, generation, notes(result, lines, 8, 0))
    assert len(canonical(found)) < 2 * 1024**2
    assert len(found["by_task"]) == len(found["by_label"]) == len(found["by_source"]) == MAX_ROWS
    assert len(result["by_label"]) == 1_000
    assert found["confusion"] is None
