"""Macro F1: every label counts the same, however often it occurs."""

from collections import Counter
from collections.abc import Sequence

from jobs.answers.metrics.base import Line

UNREADABLE = "(unreadable)"
"""Stands for a failed parse among the predicted labels."""


def expected_class(line: Line) -> str:
    """The label that was expected."""
    return str(line["expected"]).strip() if line.get("label") is None else str(line["label"])


def said_class(line: Line) -> str:
    """The label that was predicted."""
    return UNREADABLE if line["parse"] == "failed" else str(line["parsed"])


def macro_f1(lines: Sequence[Line]) -> float:
    """Mean F1 over the labels that occur among the expected ones (`labels=` of scikit-learn's `f1_score`).

    F1 of a label is 2 TP / (2 TP + FP + FN). An answer that cannot be read is a miss of its label and nobody's false
    alarm.
    """
    expected = Counter(expected_class(line) for line in lines)
    said = Counter(said_class(line) for line in lines)
    right = Counter(expected_class(line) for line in lines if expected_class(line) == said_class(line))
    # The denominator is expected + said: 2 TP + FP + FN. It is not 0: the label was expected.
    return sum(2 * right[label] / (count + said[label]) for label, count in sorted(expected.items())) / len(expected)
