"""The examples that the tuned model gets wrong: the next round's data, and something to read in the report."""

from collections.abc import Sequence
from typing import Any

from jobs.eval.score import Prediction
from sftjobs.canonical import canonical

MAX_SHOWN = 2_000
MAX_BYTES = 1_700_000
"""Of the bad cases in the report section, which may have 2 MiB in all."""
MAX_QUESTION = 600
MAX_ANSWER = 300


def bad_cases(tuned: Sequence[Prediction], base: Sequence[Prediction], metric: str) -> list[dict[str, Any]]:
    """Full examples with prediction and parse; `messages` holds the expected answer, as in a training example."""
    dropped = {"scores", "correct"}
    return [
        {
            **{name: value for name, value in mine.items() if name not in dropped},
            "base_prediction": other["prediction"],
            "base_correct": other["scores"][metric],
        }
        for mine, other in zip(tuned, base, strict=True)
        if not mine["scores"][metric]
    ]


def for_report(cases: Sequence[dict[str, Any]], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The first bad cases, short enough to be shown: without the part of the prompt that is always the same."""
    common = _common_start([_question(prediction) for prediction in predictions])
    shown: list[dict[str, Any]] = []
    size = 0
    for case in cases[:MAX_SHOWN]:
        row = {
            "id": case["id"],
            "task": case["task"],
            "label": case["label"],
            "question": _short(_question(case)[common:].strip(), MAX_QUESTION),
            "expected": _short(case["expected"], MAX_ANSWER),
            "prediction": _short(case["prediction"], MAX_ANSWER),
            "parse": case["parse"],
            "base_prediction": _short(case["base_prediction"], MAX_ANSWER),
            "base_correct": case["base_correct"],
        }
        size += len(canonical(row))
        if size > MAX_BYTES:
            break
        shown.append(row)
    return shown


def _question(example: dict[str, Any]) -> str:
    """What was asked last."""
    asked = [message["content"] for message in example["messages"] if message["role"] == "user"]
    return asked[-1] if asked else ""


def _common_start(texts: list[str]) -> int:
    """Characters that all texts share at their start, up to the last end of a line in them."""
    low, high = min(texts), max(texts)  # they differ first where any two texts do
    if low == high:
        return 0
    differ = (place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    return low.rfind("\n", 0, next(differ, len(low))) + 1


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
