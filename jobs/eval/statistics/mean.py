"""A number per example: the mean of the paired differences."""

import math
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from jobs.eval.statistics.base import (
    POWER,
    Floats,
    Interval,
    fewest_wins,
    flips,
    p_of,
    quantiles,
    resamples,
    z_of,
    z_power,
)

FEW = 5
"""With fewer differences that are not 0 nothing is known about how large they can be."""
EXACT = 12
"""Up to so many differences that are not 0 the sign-flip test looks at every pattern of signs."""
FLOOR = 0.1
"""Least variance of a draw, as a share of that of the data: a draw of zeros alone has no standard error of its own."""


def guard(differences: Floats, bounded: bool) -> float:
    """Distance from the mean of two examples that are added, one above and one below.

    What Bonett and Price do for right and wrong, for any number: an interval that trusts a few large differences
    among many zeros is too short, and one of zeros alone has no length. The distance is the root mean square of the
    deviations, weighted by their squares: of what makes up the variance. With fewer than FEW differences it is the
    largest that scores of 0 to 1 can have (`bounded`), else the largest seen.
    """
    deviations = differences - differences.mean()
    if np.count_nonzero(differences) < FEW:
        return 1.0 if bounded else float(np.abs(deviations).max())
    squares = deviations**2
    total = float(squares.sum())
    return math.sqrt(float((squares**2).sum()) / total) if total > 0 else 0.0


def mean_interval(
    differences: ArrayLike, draws: int, confidence: float, seed: int, *, bounded: bool = True
) -> Interval:
    """Bootstrap-t interval of a mean (Efron and Tibshirani 1993, section 12.5): draws divided by their own error.

    Takes skewness into account, as the percentile interval does not: with 50 examples of skewed differences that one
    covers 90 % instead of 95 %. Two examples are added: see `guard`. Scores of 0 to 1 (`bounded`) differ by 1 at most.
    """
    given = np.asarray(differences, dtype=np.float64)
    assert given.size > 0
    mean, distance = float(given.mean()), guard(given, bounded)
    values, counts = np.unique(np.append(given, [mean - distance, mean + distance]), return_counts=True)
    n = int(counts.sum())
    centered = values - mean
    variance = float(centered**2 @ counts) / n
    if variance <= 1e-24 * max(1.0, mean * mean):
        return Interval(mean, mean)
    found = []
    for block in resamples(counts, draws, np.random.default_rng(seed)):
        means = block @ centered / n
        variances = block @ centered**2 / n - means**2
        found.append(means / np.sqrt(np.maximum(variances, FLOOR * variance)))
    low, high = quantiles(np.concatenate(found), confidence)
    error = math.sqrt(variance)
    return _within(Interval(mean - high * error, mean - low * error), bounded)


def _within(interval: Interval, bounded: bool) -> Interval:
    return Interval(max(-1.0, interval.low), min(1.0, interval.high)) if bounded else interval


def sign_flip(differences: ArrayLike, draws: int, seed: int) -> float:
    """Two-sided p of the paired permutation test: under the null the models of an example can be swapped.

    The share of patterns of signs whose sum is at least as far from 0. All of them up to EXACT differences, else
    `draws`. 1 if nothing differs. Of differences of -1, 0 and 1 it is McNemar's test.
    """
    given = np.asarray(differences, dtype=np.float64)
    sizes, counts = np.unique(np.abs(given[given != 0]), return_counts=True)
    n = int(counts.sum())
    if n == 0:
        return 1.0
    seen = abs(float(given.sum()))
    enough = seen - 1e-9 * float(sizes @ counts)  # the same sum in another order
    if n <= EXACT:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
        return float(np.mean(np.abs(signs @ np.repeat(sizes, counts)) >= enough))
    as_extreme = 0
    for block in flips(counts, draws, np.random.default_rng(seed)):
        as_extreme += int(np.count_nonzero(np.abs(2 * (block @ sizes) - counts @ sizes) >= enough))
    return p_of(as_extreme, draws)


def detectable_mean(differences: ArrayLike, confidence: float, *, bounded: bool, power: float = POWER) -> float:
    """The true mean difference that `n` examples would show with probability `power`.

    (z + z_power) standard errors, from the standard deviation of the differences with the two examples of `guard`. At
    most 1 if `bounded`, and 1 or infinite if there are fewer examples than an exact test needs.
    """
    given = np.asarray(differences, dtype=np.float64)
    n, distance = given.size, guard(given, bounded)
    largest = 1.0 if bounded else math.inf
    if n < fewest_wins(confidence):
        return largest
    error = math.sqrt((float(((given - given.mean()) ** 2).sum()) + 2 * distance**2) / (n + 1) / (n + 2))
    return min(largest, (z_of(confidence) + z_power(power)) * error)
