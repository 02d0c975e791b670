"""Bad cases as the report shows them: short, so that 2,000 of them fit a page.

Sections: `cases` within `compare`, and `nearest` (training examples near them, each once).
"""

from collections.abc import Sequence
from html import escape
from typing import Any

from jobs.answers.predict import Prediction
from jobs.eval.bad_cases import is_number
from jobs.eval.varying import Varying, last_question
from jobs.eval.words import shortened
from sftjobs.canonical import canonical

MAX_SHOWN = 2_000
MAX_BYTES = 1_700_000
"""Of the bad cases in the report section, which may have 2 MiB in all."""
MAX_QUESTION = 600
MAX_ANSWER = 300
MAX_NEAREST_BYTES = 1_100_000
"""Of the training examples near them, as they stand in the page."""
NEAREST_QUESTIONS = (400, 200, 120, 70)
"""Characters of their questions: the first that fits."""
NEAREST_ANSWER = 80
MARKUP = 90
"""Bytes of a training example in the page besides its text."""


def for_report(cases: Sequence[dict[str, Any]], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The first bad cases, short enough to be shown: without the part of the prompt that is always the same."""
    varying = Varying()
    for prediction in predictions:
        varying.see(prediction["task"], last_question(prediction))
    shown: list[dict[str, Any]] = []
    size = 0
    for case in cases[:MAX_SHOWN]:
        row = {
            "id": case["id"],
            "task": case["task"],
            "label": case["label"],
            "question": shortened(varying.part(case["task"], last_question(case)), MAX_QUESTION),
            "expected": shortened(case["expected"], MAX_ANSWER),
            "prediction": shortened(case["prediction"], MAX_ANSWER),
            "parse": case["parse"],
            "base_prediction": shortened(case["base_prediction"], MAX_ANSWER),
            "base_correct": case["base_correct"],
        }
        # What not every comparison has is left out rather than written 2,000 times as null.
        for name in ("parse_class", "nearest_contradicts", "seeds", "seeds_wrong"):
            if case.get(name) is not None:
                row[name] = case[name]
        if is_number(case.get("score")):
            row |= {"score": round(case["score"], 4), "base_score": _rounded(case["base_score"])}
        size += max(len(canonical(row)), _size(row["question"], row["expected"], row["prediction"]))
        if size > MAX_BYTES:
            break
        shown.append(row)
    return shown


def nearest_for_report(cases: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Section `nearest`: `training`, id -> [question, answer], and `cases`, id -> [[training id, likeness], ...].

    `cases` are the whole ones, `shown` their rows of `for_report`. Questions are cut to a length at which all fit; if
    none does, only the first cases have theirs.
    """
    found = [case for case in cases[: len(shown)] if case.get("nearest")]
    for limit in NEAREST_QUESTIONS:
        section, whole = _section(found, limit)
        if whole:
            break
    return section


def _section(cases: Sequence[dict[str, Any]], limit: int) -> tuple[dict[str, Any], bool]:
    """With questions of so many characters; and whether all cases have theirs."""
    training: dict[str, list[str]] = {}
    of_case: dict[str, list[list[Any]]] = {}
    size = 0
    for case in cases:
        texts = [
            [shortened(one["question"], limit), shortened(one["answer"], NEAREST_ANSWER)] for one in case["nearest"]
        ]
        size += sum(MARKUP + _size(*text) for text in texts)
        if size > MAX_NEAREST_BYTES:
            return {"training": training, "cases": of_case}, False
        of_case[case["id"]] = [[one["id"], one["similarity"]] for one in case["nearest"]]
        training |= {one["id"]: text for one, text in zip(case["nearest"], texts, strict=True)}
    return {"training": training, "cases": of_case}, True


def _size(*texts: str) -> int:
    """Bytes in the page."""
    return sum(len(escape(text).encode()) for text in texts)


def _rounded(score: bool | float | None) -> float | None:
    return None if score is None else round(float(score), 4)
