"""A metric of the user's own, and what a person sees when it does not work."""

from pathlib import Path

import pytest

from jobs.answers.check import check
from jobs.answers.metrics import Metric, load
from jobs.answers.parse import parser
from jobs.answers.predict import predict
from sftjobs.errors import DataError
from sftjobs.plan.configs import MetricConfig
from sftjobs.spec.prompt import PromptSpec

PROMPT = PromptSpec(input="{{ text }}")
PARSE = parser(PROMPT)
EXAMPLE = {"id": "e7", "task": "chat", "messages": [{"role": "user", "content": "how long?"}]}

OVERLAP = """
from collections import Counter

def score(expected, answer, example):
    assert example["messages"][0]["content"] == "how long?"
    example["messages"].clear()  # harms nobody
    common = Counter(expected.split()) & Counter(answer.split())
    return common.total() / len(expected.split())
"""


def _load(folder: Path, code: str, function: str = "score", name: str = "mine") -> Metric:
    path = folder / "metric.py"
    path.write_text(code, encoding="utf-8")
    [metric] = load([MetricConfig(name=name, input="metric.0", function=function)], {"metric.0": path}.__getitem__)
    return metric


def _check(metric: Metric) -> None:
    check([metric], PROMPT, PARSE, [(EXAMPLE, "two days")])


def test_a_metric_that_gives_a_number(tmp_path: Path) -> None:
    metric = _load(tmp_path, OVERLAP)
    assert (metric.kind, metric.lower_is_better) == ("mean", False)
    _check(metric)
    line = predict(EXAMPLE, "two days", "in two weeks", PARSE, [metric])
    assert line["scores"] == {"mine": 0.5}
    assert line["correct"] is None
    assert line["messages"] == [{"role": "user", "content": "how long?"}]
    assert [path.name for path in tmp_path.iterdir()] == ["metric.py"]  # nothing is written into the input


@pytest.mark.parametrize("annotation", ["bool", "'bool'"])
def test_a_metric_of_right_and_wrong_says_so_by_its_annotation(tmp_path: Path, annotation: str) -> None:
    code = (
        f"def starts(expected: str, answer: str, example: dict) -> {annotation}:\n    return answer[:3] == expected[:3]"
    )
    metric = _load(tmp_path, code, "starts")
    assert metric.kind == "binary"
    lines = [predict(EXAMPLE, "two days", text, PARSE, [metric]) for text in ("two weeks", "one day")]
    assert [line["correct"] for line in lines] == [True, False]
    assert metric.value(lines) == 0.5


def test_numbers_of_numpy_and_bools_are_numbers(tmp_path: Path) -> None:
    metric = _load(tmp_path, "import numpy\ndef score(e, a, x):\n    return numpy.float32(0.25) if a == 'x' else True")
    values = [predict(EXAMPLE, "y", text, PARSE, [metric])["scores"]["mine"] for text in ("x", "y")]
    assert values == [0.25, 1.0]
    assert [type(value) for value in values] == [float, float]


def test_a_dataclass_in_the_file(tmp_path: Path) -> None:
    code = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Words:
    text: str

def score(expected: str, answer: str, example: dict) -> bool:
    return Words(expected) == Words(answer)
"""
    assert predict(EXAMPLE, "y", "y", PARSE, [_load(tmp_path, code)])["correct"] is True


@pytest.mark.parametrize(
    ("code", "function", "message"),
    [
        (
            "def scores(e, a, x): pass",
            "score",
            r"metric 'mine': metric.py has no function 'score' \(it defines scores\)",
        ),
        ("x = 1", "judge", r"no function 'judge' \(it defines no function\).* define judge\(expected: str"),
        ("import nothing_like_it", "score", r"cannot be loaded: ModuleNotFoundError: .* \(metric.py:1: import nothing"),
        ("def score(e, a, x):\n  return (", "score", r"cannot be loaded: SyntaxError: .* \(metric.py:2: return \(\)"),
        ("raise SystemExit(3)", "score", r"cannot be loaded: SystemExit: 3 \(metric.py:1: raise"),
        ("def score(e, a): pass", "score", r"score in metric.py must be score\(expected: str, answer: str, example"),
        (
            "def score(e, a, x):\n  y = 0\n  return 1 / y",
            "score",
            r"failed for example e7: ZeroDivisionError: .*metric.py:3",
        ),
        ("def score(e, a, x): return None", "score", r"metric 'mine' gave None for example e7: a score is a number"),
        ("def score(e, a, x): return '0.5'", "score", r"gave '0.5' for example e7"),
        ("def score(e, a, x): return 1.5", "score", r"gave 1.5 for example e7: a score is a number from 0 to 1"),
        ("def score(e, a, x): return float('nan')", "score", r"gave nan for example e7"),
        ("def score(e, a, x) -> bool: return 0.5", "score", r"gave 0.5 for example e7, but it is annotated -> bool"),
    ],
)
def test_what_does_not_work_is_named_before_anything_is_generated(
    tmp_path: Path, code: str, function: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _check(_load(tmp_path, code, function))


def test_a_name_that_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "metric.py"
    path.write_text("def chrf(e, a, x): return 1")
    configs = [MetricConfig(name="chrf"), MetricConfig(name="chrf", input="metric.1", function="chrf")]
    with pytest.raises(DataError, match=r"eval.metrics: 'chrf' is there twice; give one of them another `name:`"):
        load(configs, lambda name: path)
