"""Interval of a metric's value for one model: how far it may be off because other examples could have been held out.

binary   Wilson (see `statistics.wilson`)
mean     Student's t of the scores
set      percentile bootstrap over the examples (Efron and Tibshirani 1993, chapter 13)
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import stats

from jobs.answers.metrics import Line, Metric
from jobs.answers.metrics.classes import expected_class, said_class
from jobs.eval.statistics import Interval, wilson

DRAWS = 2_000
"""Of the bootstrap; the comparison draws more."""


def interval(metric: Metric, lines: Sequence[Line], confidence: float) -> Interval | None:
    """Of the lines that have a score, at least one. None if the scores say nothing about it: one loss, or equal ones.

    Scores of 0 to 1 that are all the same, or a macro F1 that no draw changes, would give an interval of length 0:
    they get Wilson's with the value as a rate, which is the widest that scores of that mean can have.
    """
    scores = [float(line["scores"][metric.name]) for line in lines if line["scores"][metric.name] is not None]
    n = len(scores)
    if metric.kind == "binary":
        return _wilson(sum(scores), n, confidence)
    if metric.kind == "mean":
        found = _student(scores, confidence)
    else:
        found = _bootstrap_macro_f1([line for line in lines if line["scores"][metric.name] is not None], confidence)
    if found is not None and found.high > found.low:
        return Interval(max(0.0, found.low), min(1.0, found.high) if metric.bounded else found.high)
    return _wilson(n * float(metric.value(lines) or 0), n, confidence) if metric.bounded else None


def _wilson(successes: float, n: int, confidence: float) -> Interval:
    return wilson(min(successes, n), n, confidence)  # type: ignore[arg-type]  # the formula holds for a mean, too


def _student(scores: Sequence[float], confidence: float) -> Interval | None:
    """Of the mean, with an unknown variance."""
    n = len(scores)
    if n < 2:
        return None
    mean = math.fsum(scores) / n
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * float(np.std(scores, ddof=1)) / math.sqrt(n)
    return Interval(mean - half, mean + half)


def _bootstrap_macro_f1(lines: Sequence[Line], confidence: float) -> Interval:
    """Only how often each (expected, said) pair occurs matters: a draw is one multinomial vector over the pairs."""
    pairs = Counter((expected_class(line), said_class(line)) for line in lines)
    keys = sorted(pairs)
    labels = sorted({expected for expected, _ in keys})
    expected = np.array([[pair[0] == label for label in labels] for pair in keys], dtype=np.float64)
    said = np.array([[pair[1] == label for label in labels] for pair in keys], dtype=np.float64)
    n = len(lines)
    random = np.random.default_rng(0)
    values = []
    step = max(1, 2_000_000 // len(keys))
    for start in range(0, DRAWS, step):
        counts = random.multinomial(n, [pairs[key] / n for key in keys], size=min(step, DRAWS - start)).astype(float)
        there, told, right = counts @ expected, counts @ said, counts @ (expected * said)
        f1 = np.divide(2 * right, there + told, out=np.zeros_like(right), where=there + told > 0)
        values.append(f1.sum(axis=1, where=there > 0) / (there > 0).sum(axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(values), [tail, 1 - tail])
    return Interval(float(low), float(high))
