"""The comparison of evaluations: files, verdicts in words, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.eval.compare import run
from jobs.eval.lines import write_lines
from jobs.eval.pairs import Pair, compare, gain, verdict
from jobs.eval.shown import MAX_BYTES, for_report
from jobs.eval.statistics import Interval
from sftjobs.canonical import canonical
from sftjobs.errors import DataError
from sftjobs.plan.configs import CompareConfig
from tests.support.program_runner import Outcome, run_here, run_program
from tests.support.report_data import predictions

CONFIG = CompareConfig(metric="accuracy", confidence=0.95, bootstrap_draws=10_000, seed=1)
Lines = list[dict[str, Any]]


def _artifacts(folder: Path, **models: Lines) -> dict[str, Path]:
    for role, lines in models.items():
        (folder / role).mkdir(parents=True)
        write_lines(folder / role / "predictions.jsonl", lines)
    return {role: folder / role for role in models}


def _run(folder: Path, config: CompareConfig = CONFIG, **models: Lines) -> Outcome:
    return run_here(run, "jobs.eval.compare", config, _artifacts(folder, **models), folder / "work")


def test_the_program_under_the_contract(tmp_path: Path) -> None:
    base, tuned = predictions(120, 0.4, 0.2, 1), predictions(120, 0.9, 0, 2)
    previous = predictions(120, 0.85, 0, 3)
    inputs = _artifacts(tmp_path, base=base, tuned=tuned, previous=previous)
    outcome = run_program("jobs.eval.compare", CONFIG, inputs, tmp_path / "work")
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith("tuned is better than base: +")
    counts = outcome.counts
    assert counts["verdict"] == "better"
    assert counts["n"] == 120
    assert counts["difference"] == pytest.approx(counts["tuned"] - counts["base"])
    assert counts["low"] < counts["difference"] < counts["high"]
    assert counts["p"] < 0.001
    assert {"previous", "previous_difference", "previous_low", "previous_high", "previous_p"} <= set(counts)
    written = json.loads((outcome.content / "comparison.json").read_text())
    assert [pair["before"] for pair in written["pairs"]] == ["base", "previous"]
    assert {**written, "cases": outcome.report("compare")["cases"]} == outcome.report("compare")


def test_bad_cases_are_full_examples_for_the_next_round(tmp_path: Path) -> None:
    base, tuned = predictions(60, 0.4, 0.2, 1), predictions(60, 0.7, 0.1, 2)
    outcome = _run(tmp_path, base=base, tuned=tuned)
    cases = [json.loads(line) for line in (outcome.content / "bad_cases.jsonl").read_text().splitlines()]
    assert [case["id"] for case in cases] == [line["id"] for line in tuned if not line["correct"]]
    assert cases[0]["messages"][-1] == {"role": "assistant", "content": cases[0]["expected"]}
    assert {"prediction", "parse", "task", "label", "base_prediction", "base_correct"} <= set(cases[0])
    assert "correct" not in cases[0]
    assert outcome.counts["bad_cases"] == len(cases)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    models = {"base": predictions(60, 0.4, 0.2, 1), "tuned": predictions(60, 0.7, 0.1, 2)}
    one, two = (_run(tmp_path / name, **models).content for name in "ab")
    for name in ("comparison.json", "bad_cases.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_mistake_ends_with_its_message_and_no_traceback(tmp_path: Path) -> None:
    inputs = _artifacts(tmp_path, base=predictions(5, 0.5, 0, 1), tuned=[])
    outcome = run_program("jobs.eval.compare", CONFIG, inputs, tmp_path / "work")
    assert outcome.returncode == 10
    assert outcome.stderr == "error: input 'tuned': predictions.jsonl is empty\n"


def test_other_examples_are_refused_and_named(tmp_path: Path) -> None:
    base, tuned = predictions(30, 0.4, 0.2, 1), predictions(31, 0.7, 0.1, 2)[1:]
    tuned[5] = {**tuned[5], "expected": "weather"}
    with pytest.raises(DataError) as caught:
        _run(tmp_path, base=base, tuned=tuned)
    assert "'base' (30 examples) and 'tuned' (30) are not on the same examples" in str(caught.value)
    assert f"1 are missing (e.g. {base[0]['id']})" in str(caught.value)
    assert f"1 are only there (e.g. {tuned[-1]['id']})" in str(caught.value)
    assert f"1 expect another answer (e.g. {tuned[5]['id']})" in str(caught.value)
    assert "Evaluate both models on the same held-out set" in str(caught.value)


def test_a_metric_that_was_not_scored_is_refused(tmp_path: Path) -> None:
    lines = predictions(10, 0.5, 0, 1)
    config = CONFIG.model_copy(update={"metric": "exact_match"})
    with pytest.raises(DataError, match="input 'base' was not scored by 'exact_match' but by accuracy"):
        _run(tmp_path, config, base=lines, tuned=lines)


def test_an_artifact_that_is_no_evaluation_is_refused(tmp_path: Path) -> None:
    inputs = _artifacts(tmp_path, base=predictions(5, 0.5, 0, 1))
    (tmp_path / "tuned").mkdir()
    with pytest.raises(DataError, match=r"input 'tuned': predictions.jsonl is missing"):
        run_here(run, "jobs.eval.compare", CONFIG, {**inputs, "tuned": tmp_path / "tuned"}, tmp_path / "work")


def test_no_difference_says_what_the_test_set_can_show() -> None:
    lines = predictions(100, 0.6, 0.1, 5)
    result = compare("base", "tuned", Pair(lines, lines, "accuracy"), CONFIG)
    assert result["verdict"] == "no difference shown"
    assert result["p"] == 1.0
    assert result["low"] < 0 < result["high"]
    assert "this test set of 100 examples can show differences of about" in result["text"]


@pytest.mark.parametrize(
    ("difference", "low", "high", "p", "expected"),
    [
        (0.1, 0.02, 0.2, 0.01, "better"),
        (-0.1, -0.2, -0.02, 0.01, "worse"),
        (0.1, 0.001, 0.2, 0.06, "no difference shown"),
        (0.1, -0.001, 0.2, 0.04, "no difference shown"),
    ],
)
def test_a_verdict_needs_test_and_interval(difference: float, low: float, high: float, p: float, expected: str) -> None:
    assert verdict(difference, Interval(low, high), p, 0.95) == expected


def _line(parse: str, correct: bool, **fields: Any) -> dict[str, Any]:
    return {"parse": parse, "scores": {"accuracy": correct}, "task": "t", "label": None, **fields}


def test_the_gain_is_split_into_format_and_content() -> None:
    before = [_line("failed", False), _line("strict", False), _line("strict", True), _line("failed", False)]
    after = [_line("strict", True), _line("strict", True), _line("failed", False), _line("strict", False)]
    parts = gain(Pair(before, after, "accuracy"))
    assert parts == {"format": 0.0, "content": 0.25}
    lines = predictions(200, 0.3, 0.4, 1), predictions(200, 0.8, 0.05, 2)
    result = compare("base", "tuned", Pair(*lines, "accuracy"), CONFIG)
    assert sum(result["gain"].values()) == pytest.approx(result["difference"])
    assert result["wins"] + result["losses"] + result["ties_right"] + result["ties_wrong"] == 200


def test_small_slices_are_counted_but_not_judged() -> None:
    before = [_line("strict", False, task="big")] * 25 + [_line("strict", False, task="small")] * 5
    after = [_line("strict", True, task="big")] * 25 + [_line("strict", True, task="small")] * 5
    found = compare("base", "tuned", Pair(before, after, "accuracy"), CONFIG)["slices"]
    big, small = found["task"]
    assert (big["name"], big["n"], big["wins"]) == ("big", 25, 25)
    assert big["p"] < 0.001
    assert big["low"] > 0
    assert (small["n"], small["p"], small["low"]) == (5, None, None)
    assert found["label"] == []


def test_the_report_shows_what_differs_between_questions_and_stays_small() -> None:
    lines = predictions(9_000, 0.5, 0, 1, text="long " * 200)
    cases = [{**line, "base_prediction": "x", "base_correct": False} for line in lines if not line["correct"]]
    shown = for_report(cases, lines)
    assert shown[0]["question"].startswith("long long")
    assert len(shown[0]["question"]) == 600
    assert len(canonical(shown)) < MAX_BYTES + 10_000
    assert 1_500 < len(shown) <= 2_000
