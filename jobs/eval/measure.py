"""The metric that decides, and two models measured by it: difference, interval, p, what could have been seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jobs.answers.metrics import BUILT_IN, Kind, Metric, NotScored
from jobs.answers.metrics.classes import expected_class, said_class
from jobs.answers.predict import Prediction
from jobs.eval.statistics import (
    Interval,
    MacroF1,
    binary_interval,
    detectable_mean,
    mcnemar,
    mean_interval,
    minimum_detectable_difference,
    over_seeds,
    sign_flip,
)
from sftjobs.plan.configs import CompareConfig

Floats = NDArray[np.float64]


def metric_named(name: str, models: Iterable[Sequence[Prediction]]) -> Metric:
    """The metric of that name. A user's own is one of right and wrong if every score of every model is a bool."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    scores = (line["scores"][name] for lines in models for line in lines)
    kind: Kind = "binary" if all(score is None or isinstance(score, bool) for score in scores) else "mean"
    return Metric(name, kind, lambda one: NotScored("scored by the evaluation"))


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known about a difference."""

    difference: float
    """After - before, as the scores are: of a loss, less is better."""
    interval: Interval
    p: float
    detectable: float


@dataclass(frozen=True)
class Measured:
    """Scores of one model before and of the models of S seeds after, on the same n examples."""

    kind: Kind
    before: Floats
    """(n,)"""
    after: Floats
    """(S, n)"""
    triples: Sequence[Sequence[tuple[str, str, str]]] = ()
    """Of kind `set`: for each seed, what each example expects, and what was said before and after."""
    lower_is_better: bool = False
    bounded: bool = True

    @cached_property
    def macro(self) -> list[MacroF1]:
        """Of kind `set`: one per seed."""
        return [MacroF1(triples) for triples in self.triples]

    @cached_property
    def contributions(self) -> Floats:
        """What each example adds to the difference of each seed, (S, n): their mean is the difference."""
        if self.kind == "set":
            return np.array([macro.contributions for macro in self.macro])
        return self.after - self.before

    @property
    def values(self) -> tuple[float, float]:
        """Before, and after as the mean over seeds."""
        if self.kind == "set":
            return self.macro[0].values[0], float(np.mean([macro.values[1] for macro in self.macro]))
        return float(self.before.mean()), float(self.after.mean())

    def counted(self) -> dict[str, int]:
        """Answers by which model did better; of several seeds, summed over them. Equal ones: right from 0.5 up."""
        gain = (self.before - self.after) if self.lower_is_better else (self.after - self.before)
        same_as = np.broadcast_to(np.exp(-self.before) if self.lower_is_better else self.before, gain.shape)
        right = (gain == 0) & (same_as >= 0.5)
        return {
            "wins": int((gain > 0).sum()),
            "losses": int((gain < 0).sum()),
            "ties_right": int(right.sum()),
            "ties_wrong": int(((gain == 0) & ~right).sum()),
        }

    def part(self, chosen: Sequence[int]) -> "Measured":
        """Some of the examples. Of kind `set` their answers as right or wrong: a set is not one of its slices."""
        kind: Kind = "binary" if self.kind == "set" else self.kind
        return Measured(kind, self.before[chosen], self.after[:, chosen], (), self.lower_is_better, self.bounded)

    def judge(self, config: CompareConfig) -> Judged:
        """Difference, interval and p by the method of its kind: docs/comparison.md."""
        draws, confidence, seed = config.bootstrap_draws, config.confidence, config.seed
        seeds, n = self.after.shape
        if seeds > 1:
            found = over_seeds(self.contributions, bounded=self.bounded)
            interval = found.interval(confidence, bounded=self.bounded)
            return Judged(found.difference, interval, found.p(), found.detectable(confidence, bounded=self.bounded))
        if self.kind == "binary":
            wins, losses = (int((self.contributions == one).sum()) for one in (1, -1))
            return Judged(
                (wins - losses) / n,
                binary_interval(wins, losses, n, draws, confidence, seed),
                mcnemar(wins, losses),
                minimum_detectable_difference(wins + losses, n, confidence),
            )
        added = self.contributions[0]
        p = self.macro[0].permutation(draws, seed) if self.kind == "set" else sign_flip(added, draws, seed)
        return Judged(
            float(added.mean()),
            mean_interval(added, draws, confidence, seed, bounded=self.bounded),
            p,
            detectable_mean(added, confidence, bounded=self.bounded),
        )


def measured(before: Sequence[Prediction], after: Sequence[Sequence[Prediction]], metric: Metric) -> Measured:
    """Of predictions that all have a score."""
    triples = [
        [(expected_class(a), said_class(a), said_class(b)) for a, b in zip(before, seed, strict=True)]
        for seed in after
        if metric.kind == "set"
    ]
    return Measured(
        metric.kind,
        np.array([line["scores"][metric.name] for line in before], dtype=np.float64),
        np.array([[line["scores"][metric.name] for line in seed] for seed in after], dtype=np.float64),
        triples,
        metric.lower_is_better,
        metric.bounded,
    )
