"""Right or wrong: two models on the same examples are a table of wins, losses and ties."""

import math

import numpy as np
from scipy import stats

from jobs.eval.statistics.base import POWER, Interval, fewest_wins, quantiles, resamples, z_of, z_power


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p of McNemar's test: given that two models differ on an example, is either right as often?

    Examples on which they agree carry no information about that. 1 if they agree everywhere.
    """
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue)


def binary_interval(wins: int, losses: int, n: int, draws: int, confidence: float, seed: int) -> Interval:
    """Percentile interval of the difference of two rates, by drawing examples with replacement.

    From a table with one more win and one more loss (Bonett and Price 2012, J. Educ. Behav. Stat. 37:479): else few
    differences would give an interval that is too short, and none at all an interval of length 0.
    """
    assert n > 0 and wins + losses <= n
    counts = np.array([losses + 1, n - wins - losses, wins + 1])
    values = np.array([-1.0, 0.0, 1.0])
    means = [block @ values / (n + 2) for block in resamples(counts, draws, np.random.default_rng(seed))]
    return Interval(*quantiles(np.concatenate(means), confidence))


def minimum_detectable_difference(discordant: int, n: int, confidence: float, power: float = POWER) -> float:
    """The true difference that a paired test on `n` examples would show with probability `power`.

    `discordant` examples, of which exactly one model is right, are expected; at least one is assumed. The standard
    error of the difference is then about sqrt(discordant) / n (Connor 1987, Biometrics 43:207, without its
    correction for the difference itself, so a little too large). Not less than the fewest wins that an exact test
    can show; 1 if not even `n` wins are enough.
    """
    error = math.sqrt(max(1, discordant)) / n
    return min(1.0, max((z_of(confidence) + z_power(power)) * error, fewest_wins(confidence) / n))
