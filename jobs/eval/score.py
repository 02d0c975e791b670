"""Predictions to numbers: metrics with intervals, over all examples and by slice; how many answers could be read."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from jobs.answers.metrics import Metric
from jobs.answers.metrics.classes import UNREADABLE
from jobs.answers.metrics.classes import said_class as said_label
from jobs.answers.predict import Prediction
from jobs.eval.intervals import interval

CONFIDENCE = 0.95
"""Level of the intervals of one model; the comparison has its own."""


def scores(predictions: Sequence[Prediction], metrics: Sequence[Metric], template_hash: str) -> dict[str, Any]:
    """Content of scores.json."""
    parses = Counter(prediction["parse"] for prediction in predictions)
    classes = Counter(prediction["parse_class"] for prediction in predictions if prediction["parse_class"] is not None)
    labels = all(prediction["label"] is not None for prediction in predictions)
    return {
        "metric": metrics[0].name,
        "confidence": CONFIDENCE,
        "metrics": {metric.name: rate(predictions, metric) for metric in metrics},
        **{f"by_{name}": by_slice(predictions, metrics, value_of) for name, value_of in SLICES.items()},
        "by_label": by_label(predictions, metrics) if labels else {},
        "format": {how: parses[how] for how in ("strict", "repaired", "failed")},
        "parse_classes": dict(sorted(classes.items())),
        "template_hash": template_hash,
    }


def rate(predictions: Sequence[Prediction], metric: Metric) -> dict[str, Any]:
    """Value of a metric with its interval, over the `n` predictions that have a score; null if none has."""
    scored = [prediction for prediction in predictions if prediction["scores"][metric.name] is not None]
    value = metric.value(scored)
    limits = interval(metric, scored, CONFIDENCE) if scored else None
    found = {
        "value": value,
        "n": len(scored),
        "low": None if limits is None else limits.low,
        "high": None if limits is None else limits.high,
        "kind": metric.kind,
        "lower_is_better": metric.lower_is_better,
    }
    if metric.kind == "binary":
        found["correct"] = sum(prediction["scores"][metric.name] for prediction in scored)
    return found


def _source(prediction: Prediction) -> str | None:
    """The file that an example comes from, by the start of its digest."""
    source = prediction.get("source")
    return str(source["digest"])[:12] if isinstance(source, dict) and "digest" in source else None


def _field(name: str) -> Callable[[Prediction], str | None]:
    def value(prediction: Prediction) -> str | None:
        return None if prediction.get(name) is None else str(prediction[name])

    return value


SLICES: dict[str, Callable[[Prediction], str | None]] = {
    "task": _field("task"),
    "difficulty": _field("difficulty"),
    "source": _source,
}
"""Name of a way to slice the held-out set -> slice that a prediction is in, None for none."""


def by_slice(
    predictions: Sequence[Prediction], metrics: Sequence[Metric], value_of: Callable[[Prediction], str | None]
) -> dict[str, dict[str, Any]]:
    """Every metric within each slice."""
    groups: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        value = value_of(prediction)
        if value is not None:
            groups.setdefault(value, []).append(prediction)
    return {name: {metric.name: rate(groups[name], metric) for metric in metrics} for name in sorted(groups)}


def by_label(predictions: Sequence[Prediction], metrics: Sequence[Metric] = ()) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 per label that occurs, and `metrics` over the examples that expect it.

    A share of nothing is null, never 0.
    """
    groups = by_slice(predictions, metrics, lambda prediction: str(prediction["label"]))
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
            "metrics": groups.get(label, {}),
        }
    return table


def confusion(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Counts of (expected, predicted) pairs, sparse: `cells` holds [row, column, examples]."""
    pairs = Counter((str(prediction["label"]), said_label(prediction)) for prediction in predictions)
    rows = sorted({expected for expected, _ in pairs})
    columns = rows + sorted({said for _, said in pairs} - set(rows))
    cells = [[rows.index(expected), columns.index(said), count] for (expected, said), count in sorted(pairs.items())]
    return {"rows": rows, "columns": columns, "cells": cells}
