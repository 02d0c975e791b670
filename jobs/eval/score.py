"""Predictions to numbers: metrics with intervals, by task and by label, and how many answers could be read."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from jobs.answers.metrics import METRICS
from jobs.answers.parse import Parser
from jobs.eval.examples import Example
from jobs.eval.statistics import wilson
from sftjobs.errors import DataError

CONFIDENCE = 0.95
"""Level of the intervals of one model; the comparison has its own."""
UNREADABLE = "(unreadable)"
"""Stands for a failed parse among the predicted labels."""

Prediction = dict[str, Any]
"""One line of predictions.jsonl."""


def predict(example: Example, text: str, parse: Parser, metrics: Sequence[str]) -> Prediction:
    """One line of predictions.jsonl: the example with what the model said. The first metric decides `correct`.

    Raises DataError if the expected answer itself cannot be read.
    """
    expected, found = parse(example.expected), parse(text)
    if expected.how == "failed":
        raise DataError(
            f"held-out example {example.id} (task {example.task}): its expected answer {example.expected[:80]!r} "
            "is not in the prompt's output format; correct the data or the format"
        )
    scores = {name: METRICS[name](expected, found) for name in metrics}
    return {
        **example.fields,
        "label": example.label,
        "expected": example.expected,
        "prediction": text,
        "parsed": found.value,
        "parse": found.how,
        "scores": scores,
        "correct": scores[metrics[0]],
    }


def scores(predictions: Sequence[Prediction], metrics: Sequence[str], template_hash: str) -> dict[str, Any]:
    """Content of scores.json."""
    parses = Counter(prediction["parse"] for prediction in predictions)
    by_task: dict[str, Any] = {}
    for task in sorted({prediction["task"] for prediction in predictions}):
        chosen = [prediction for prediction in predictions if prediction["task"] == task]
        by_task[task] = {name: rate(chosen, name) for name in metrics}
    labels = all(prediction["label"] is not None for prediction in predictions)
    return {
        "metric": metrics[0],
        "confidence": CONFIDENCE,
        "metrics": {name: rate(predictions, name) for name in metrics},
        "by_task": by_task,
        "by_label": by_label(predictions) if labels else {},
        "format": {how: parses[how] for how in ("strict", "repaired", "failed")},
        "template_hash": template_hash,
    }


def rate(predictions: Sequence[Prediction], metric: str) -> dict[str, Any]:
    """Share of right answers with its Wilson interval."""
    n = len(predictions)
    right = sum(prediction["scores"][metric] for prediction in predictions)
    interval = wilson(right, n, CONFIDENCE)
    return {"value": right / n, "correct": right, "n": n, "low": interval.low, "high": interval.high}


def by_label(predictions: Sequence[Prediction]) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 per label that occurs. A share of nothing is null, never 0."""
    expected = Counter(prediction["label"] for prediction in predictions)
    said = Counter(said_label(prediction) for prediction in predictions)
    right = Counter(prediction["label"] for prediction in predictions if prediction["label"] == said_label(prediction))
    table: dict[str, dict[str, Any]] = {}
    for label in sorted(set(expected) | (set(said) - {UNREADABLE})):
        both = expected[label] + said[label]
        table[label] = {
            "n": expected[label],
            "predicted": said[label],
            "correct": right[label],
            "precision": right[label] / said[label] if said[label] else None,
            "recall": right[label] / expected[label] if expected[label] else None,
            "f1": 2 * right[label] / both if both else None,
        }
    return table


def said_label(prediction: Prediction) -> str:
    """The label that was predicted."""
    return UNREADABLE if prediction["parse"] == "failed" else str(prediction["parsed"])


def confusion(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Counts of (expected, predicted) pairs, sparse: `cells` holds [row, column, examples]."""
    pairs = Counter((str(prediction["label"]), said_label(prediction)) for prediction in predictions)
    rows = sorted({expected for expected, _ in pairs})
    columns = rows + sorted({said for _, said in pairs} - set(rows))
    cells = [[rows.index(expected), columns.index(said), count] for (expected, said), count in sorted(pairs.items())]
    return {"rows": rows, "columns": columns, "cells": cells}
