"""The comparison with metrics of every kind, several seeds, baselines, and held-out sets that say little."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from jobs.eval.compare import compare_all, run
from jobs.eval.lines import write_lines
from jobs.eval.pairs import Pair, compare
from jobs.eval.statistics import MacroF1
from sftjobs.errors import DataError
from sftjobs.plan.configs import CompareConfig
from tests.support.program_runner import Outcome, run_here
from tests.support.report_data import predictions

Lines = list[dict[str, Any]]


def _config(metric: str = "accuracy") -> CompareConfig:
    return CompareConfig(metric=metric, confidence=0.95, bootstrap_draws=10_000, seed=1)


def _scored(scores: list[float | bool | None], metric: str, **fields: Any) -> Lines:
    """Predictions with these scores."""
    return [
        {
            "id": f"e{place:04}", "task": "t", "label": None, "expected": "x", "prediction": "y", "parsed": "y",
            "parse": "strict", "parse_class": None, "scores": {metric: score},
            "score_notes": {metric: "no number"} if score is None else {},
            "messages": [
                {"role": "user", "content": "q" * (1 + place % 90)},
                {"role": "assistant", "content": "x"},
            ],
            **fields,
        }
        for place, score in enumerate(scores)
    ]  # fmt: skip


def _numbers(count: int, mean: float, seed: int) -> list[float | bool | None]:
    """What is hard for one model is hard for the next: the same examples have the same part."""
    own, common = random.Random(seed), random.Random(0)
    return [min(1.0, max(0.0, mean + common.gauss(0, 0.1) + own.gauss(0, 0.1))) for _ in range(count)]


def _run(folder: Path, config: CompareConfig, baselines: dict[str, Lines] | None = None, **models: Lines) -> Outcome:
    folders = {role.replace("_", "-"): lines for role, lines in models.items()}
    inputs = {role: folder / role for role in folders}
    if baselines is not None:
        inputs["baselines"] = folder / "baselines"
        folders |= {f"baselines/{name}": lines for name, lines in baselines.items()}
    for role, lines in folders.items():
        (folder / role).mkdir(parents=True)
        write_lines(folder / role / "predictions.jsonl", lines)
    return run_here(run, "jobs.eval.compare", config, inputs, folder / "work")


def test_a_number_per_example() -> None:
    config = _config("rouge_l")
    before, after = _numbers(200, 0.5, 1), _numbers(200, 0.6, 2)
    result = compare("base", "tuned", Pair(_scored(before, "rouge_l"), _scored(after, "rouge_l"), "rouge_l"), config)
    mean = sum(after) / 200 - sum(before) / 200  # type: ignore[arg-type]
    assert result["kind"] == "mean"
    assert result["difference"] == pytest.approx(mean)
    assert result["low"] < mean < result["high"]
    assert result["verdict"] == "better"
    assert result["wins"] + result["losses"] + result["ties_right"] + result["ties_wrong"] == 200
    assert 0.01 < result["detectable"] < 0.04
    assert f"{100 * mean:+.1f} points" in result["text"]
    assert [one["name"][:2] for one in result["slices"]["length"]] == ["1:", "2:", "3:"]
    assert sum(one["n"] for one in result["slices"]["length"]) == 200


def test_of_a_loss_less_is_better() -> None:
    config = _config("loss")
    before, after = _scored([1.0 + 0.001 * i for i in range(60)], "loss"), _scored([0.8] * 60, "loss")
    result = compare("base", "tuned", Pair(before, after, "loss"), config)
    assert result["difference"] == pytest.approx(-0.2295)
    assert (result["verdict"], result["wins"], result["losses"]) == ("better", 60, 0)
    assert "tuned is better than base: -0.229 (95 % interval" in result["text"]
    back = compare("base", "tuned", Pair(after, before, "loss"), config)
    assert (back["verdict"], back["low"], back["high"]) == (
        "worse", pytest.approx(-result["high"], abs=0.002), pytest.approx(-result["low"], abs=0.002),
    )  # fmt: skip


def test_macro_f1_is_compared_as_a_whole_and_split_into_format_and_content() -> None:
    models = [predictions(200, 0.4, 0.3, 1), predictions(200, 0.8, 0.05, 2)]
    for lines in models:
        for line in lines:
            line["scores"] = {"macro_f1": line["scores"]["accuracy"]}
    result = compare("base", "tuned", Pair(*models, "macro_f1"), _config("macro_f1"))
    triples = [
        (a["label"], "?" if a["parse"] == "failed" else a["parsed"], "?" if b["parse"] == "failed" else b["parsed"])
        for a, b in zip(*models, strict=True)
    ]
    assert (result["value_before"], result["value_after"]) == pytest.approx(MacroF1(triples).values)
    assert result["kind"] == "set"
    assert result["verdict"] == "better"
    assert sum(result["gain"].values()) == pytest.approx(result["difference"])
    assert result["gain"]["format"] > 0.1
    assert sum(one["wins"] for one in result["slices"]["label"]) == result["wins"]


def test_examples_without_a_score_are_left_out_of_both_and_counted() -> None:
    before = _scored([None, True, False, *[False] * 40], "numeric")
    after = _scored([True, None, True, *[True] * 40], "numeric")
    result = compare("base", "tuned", Pair(before, after, "numeric"), _config("numeric"))
    assert (result["n"], result["left_out"], result["wins"], result["losses"]) == (41, 2, 41, 0)
    assert result["text"].endswith("; 2 examples without a score left out")


def test_a_metric_that_scores_nothing_is_refused_for_the_base_and_said_for_others() -> None:
    right, nothing = _scored([True] * 30, "numeric"), _scored([None] * 30, "numeric")
    with pytest.raises(DataError, match=r"no example has a score by 'numeric' in both 'base' and 'tuned' \(no number"):
        compare_all({"base": nothing, "tuned": right}, _config("numeric"))
    found = compare_all({"base": right, "classic": nothing, "tuned": right}, _config("numeric"))
    assert list(found["not_compared"]) == ["classic"]
    assert found["beats_every_baseline"] is None
    assert "classic" not in found["models"]
    assert "Not compared with classic" in found["conclusion"]


def test_seeds_are_in_the_difference_the_interval_and_the_words(tmp_path: Path) -> None:
    base, previous = predictions(200, 0.4, 0.1, 1), predictions(200, 0.7, 0, 9)
    tuned = [predictions(200, rate, 0, seed) for seed, rate in ((2, 0.84), (3, 0.86), (4, 0.85))]
    outcome = _run(
        tmp_path, _config(), base=base, previous=previous, tuned=tuned[0], tuned_2=tuned[1], tuned_3=tuned[2]
    )
    written = json.loads((outcome.content / "comparison.json").read_text())
    values = [sum(line["correct"] for line in lines) / 200 for lines in tuned]
    assert written["seeds"]["values"] == pytest.approx(dict(zip(("tuned", "tuned-2", "tuned-3"), values, strict=True)))
    assert written["seeds"]["mean"] == pytest.approx(sum(values) / 3)
    pair = written["pairs"][0]
    assert pair["value_after"] == pytest.approx(sum(values) / 3)
    assert pair["difference"] == pytest.approx(pair["value_after"] - pair["value_before"])
    assert pair["wins"] + pair["losses"] + pair["ties_right"] + pair["ties_wrong"] == 600
    assert pair["covers"] == "the choice of held-out examples and of the training seed (3 seeds)"
    assert pair["text"].startswith("tuned (mean of 3 seeds) is better than base: +")
    alone = compare("base", "tuned", Pair(base, tuned[0], "accuracy"), _config())
    assert alone["covers"] == "the choice of held-out examples only: one training seed"
    two = compare("base", "tuned", Pair(base, tuned[0], "accuracy", [tuned[1]]), _config())
    assert "a third would narrow it" in two["covers"]
    assert outcome.counts["seeds"] == 3
    assert {"tuned-2", "tuned-3"} <= set(written["models"])


def test_a_baseline_that_is_as_good_or_better_is_said_plainly(tmp_path: Path) -> None:
    tuned = predictions(200, 0.8, 0, 2)
    baselines = {
        "classic": predictions(200, 0.97, 0, 5), "likelihood": predictions(200, 0.5, 0, 6), "few_shot": tuned,
    }  # fmt: skip
    outcome = _run(tmp_path, _config(), baselines, base=predictions(200, 0.4, 0.2, 1), tuned=tuned)
    written = json.loads((outcome.content / "comparison.json").read_text())
    assert [pair["before"] for pair in written["pairs"]] == ["base", "likelihood", "few_shot", "classic"]
    assert written["beats_every_baseline"] is outcome.counts["beats_every_baseline"] is False
    said = written["conclusion"]
    value = {name: f"{100 * one['value']:.1f} %" for name, one in written["models"].items()}
    assert said.startswith(f"The tuned model is better than the base model: accuracy {value['tuned']} against ")
    assert f"It beats likelihood ({value['likelihood']})" in said
    assert (
        "But it does not beat the baseline few_shot (the base model with examples in its prompt), which has "
        f"{value['few_shot']}: as far as this test set shows, the baseline is as good; and the baseline classic "
        f"(TF-IDF and logistic regression) is better: {value['classic']}. "
    ) in f"{said} "
    assert "covers the choice of held-out examples only" in said
    assert outcome.counts["classic_verdict"] == "worse"
    beaten = compare_all(
        {"base": predictions(200, 0.3, 0, 1), "few_shot": predictions(200, 0.4, 0, 3), "tuned": tuned}, _config()
    )
    assert beaten["beats_every_baseline"] is True
    assert "It beats the baseline few_shot (" in beaten["conclusion"]


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (
            0.5,
            "But it does not beat the baselines few_shot (the base model with examples in its prompt) and classic "
            "(TF-IDF and logistic regression), which have {few_shot} and {classic}: as far as this test set shows, "
            "they are as good.",
        ),
        (
            0.9,
            "But the baselines few_shot (the base model with examples in its prompt) and classic (TF-IDF and logistic "
            "regression) are better: {few_shot} and {classic}.",
        ),
    ],
)
def test_several_baselines_that_are_not_beaten_are_one_sentence(rate: float, told: str) -> None:
    tuned = predictions(200, 0.5, 0, 2)
    models = {"base": predictions(200, 0.1, 0, 1), "tuned": tuned}
    others = {"few_shot": predictions(200, rate, 0, 3), "classic": predictions(200, rate, 0, 4)}
    found = compare_all({**models, **others}, _config())
    values = {name: f"{100 * found['models'][name]['value']:.1f} %" for name in others}
    assert found["conclusion"].endswith(told.format(**values))


def test_what_went_worse_since_the_previous_run_is_listed() -> None:
    base = _scored([False] * 300, "accuracy")
    previous, tuned = _scored([True] * 300, "accuracy"), _scored([False] * 250 + [True] * 50, "accuracy")
    found = compare_all({"base": base, "previous": previous, "tuned": tuned}, _config())
    first, second = found["pairs"]
    assert "regressions" not in first
    assert second["regressions"] == [f"e{place:04}" for place in range(200)]
    assert second["regression_count"] == 250
    assert "It is worse than the previous model: 16.7 % against 100.0 %; 250 examples went worse" in found["conclusion"]


def test_numbers_that_went_worse_are_listed_worst_first() -> None:
    previous, tuned = _scored([0.9, 0.9, 0.9, 0.9], "chrf"), _scored([0.7, 0.85, 0.1, 0.9], "chrf")
    found = compare_all({"base": previous, "previous": previous, "tuned": tuned}, _config("chrf"))
    assert found["pairs"][1]["regressions"] == ["e0002", "e0000"]


def test_five_examples_show_nothing() -> None:
    found = compare_all({"base": _scored([False] * 5, "accuracy"), "tuned": _scored([True] * 5, "accuracy")}, _config())
    pair = found["pairs"][0]
    assert pair["verdict"] == "no difference shown"
    assert pair["high"] - pair["low"] > 0.5
    assert pair["detectable"] == 1.0
    assert "5 examples cannot show any difference, however large: at least 6 are needed" in found["conclusion"]
    twelve = compare("base", "tuned", Pair(*[_scored([True] * 12, "accuracy")] * 2, "accuracy"), _config())
    assert "with 12 examples nothing can be concluded about differences below 50.0 points" in twelve["text"]


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "rouge_l"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_very_few_examples_of_any_kind_end_without_an_error(metric: str, count: int) -> None:
    value = 0.3 if metric == "rouge_l" else True
    lines = _scored([value] * count, metric)
    for models in ({"tuned": lines}, {"tuned": lines, "tuned-2": lines}):
        found = compare_all({"base": lines, **models}, _config(metric))
        pair = found["pairs"][0]
        assert pair["verdict"] == "no difference shown"
        assert pair["low"] <= 0 <= pair["high"]
        assert all(math.isfinite(pair[name]) for name in ("low", "high", "p", "detectable"))


def test_one_label_and_answers_that_cannot_be_read_are_said() -> None:
    lines = _scored([False] * 40, "accuracy", label="x", parse="failed", parse_class="no_label")
    found = compare_all({"base": lines, "tuned": lines}, _config())
    assert "Every held-out example expects 'x': always saying so would be right everywhere" in found["conclusion"]
    assert "Not one answer of the tuned model could be read" in found["conclusion"]
    assert found["pairs"][0]["verdict"] == "no difference shown"


def test_a_metric_of_the_user_is_right_or_wrong_if_all_its_scores_are() -> None:
    of_bools = compare_all(
        {"base": _scored([True] * 9, "mine"), "tuned": _scored([False] * 9, "mine")}, _config("mine")
    )
    of_numbers = compare_all(
        {"base": _scored([True] * 9, "mine"), "tuned": _scored([0.5] * 9, "mine")}, _config("mine")
    )
    assert (of_bools["kind"], of_numbers["kind"]) == ("binary", "mean")
