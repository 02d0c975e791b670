"""Intervals and tests for one model and for two models on the same examples. Rates are shares of 1.

binary   right or wrong: Wilson, McNemar, bootstrap of the table of wins and losses
mean     a number per example: studentised bootstrap, sign-flip test
macro    macro F1, a value of all examples together: what each example adds to it; permutation of the two models
seeds    several trainings of the same run: seeds and examples as two crossed random effects
many     several tests at once

docs/comparison.md says what was measured about them (tests/bench/bench_coverage.py).
"""

from jobs.eval.statistics.base import POWER, Interval, wilson
from jobs.eval.statistics.binary import binary_interval, mcnemar, minimum_detectable_difference
from jobs.eval.statistics.macro import MacroF1
from jobs.eval.statistics.many import false_discovery
from jobs.eval.statistics.mean import detectable_mean, mean_interval, sign_flip
from jobs.eval.statistics.seeds import Seeds, over_seeds

__all__ = [
    "POWER",
    "Interval",
    "MacroF1",
    "Seeds",
    "binary_interval",
    "detectable_mean",
    "false_discovery",
    "mcnemar",
    "mean_interval",
    "minimum_detectable_difference",
    "over_seeds",
    "sign_flip",
    "wilson",
]
