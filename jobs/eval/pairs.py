"""Two models on the same examples: what changed and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from jobs.answers.metrics import Metric
from jobs.answers.predict import Prediction
from jobs.eval.bad_cases import WORSE, goodness
from jobs.eval.intervals import interval
from jobs.eval.measure import Measured, measured, metric_named
from jobs.eval.sentences import covers, in_words
from jobs.eval.slices import slices
from jobs.eval.statistics import POWER, Interval
from sftjobs.errors import DataError
from sftjobs.plan.configs import CompareConfig

MAX_REGRESSIONS = 200

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Pair:
    """Predictions of two models, line by line for the same examples."""

    before: Sequence[Prediction]
    after: Sequence[Prediction]
    metric: str
    seeds: Sequence[Sequence[Prediction]] = ()
    """Those of the models that were trained like `after` with other seeds."""

    @cached_property
    def as_metric(self) -> Metric:
        return metric_named(self.metric, [self.before, self.after, *self.seeds])

    @cached_property
    def scored(self) -> list[int]:
        """Places of the examples that every model has a score for."""
        models = [self.before, self.after, *self.seeds]
        return [
            place
            for place in range(len(self.before))
            if all(lines[place]["scores"][self.metric] is not None for lines in models)
        ]

    @cached_property
    def measured(self) -> Measured:
        """Their scores."""
        before, *after = ([lines[place] for place in self.scored] for lines in (self.before, self.after, *self.seeds))
        return measured(before, after, self.as_metric)


def check_same_examples(name: str, predictions: Sequence[Prediction], base: Sequence[Prediction]) -> None:
    """Raises DataError that says how the examples of evaluation `name` differ from those of `base`."""
    theirs = {prediction["id"]: prediction["expected"] for prediction in predictions}
    ours = {prediction["id"]: prediction["expected"] for prediction in base}
    missing, extra = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    changed = sorted(key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key])
    told = [
        f"{len(ids):,} {what} (e.g. {ids[0]})"
        for ids, what in ((missing, "are missing"), (extra, "are only there"), (changed, "expect another answer"))
        if ids
    ]
    if told:
        raise DataError(
            f"evaluations 'base' ({len(ours):,} examples) and {name!r} ({len(theirs):,}) are not on the same examples: "
            f"{', '.join(told)}. Evaluate both models on the same held-out set"
        )
    if [prediction["id"] for prediction in predictions] != [prediction["id"] for prediction in base]:
        raise DataError(f"evaluations 'base' and {name!r} hold the same examples in another order")


def compare(name_before: str, name_after: str, pair: Pair, config: CompareConfig) -> dict[str, Any]:
    """Everything that is said about one pair of models. At least one example must be scored in both."""
    scored = pair.measured
    judged = scored.judge(config)
    before, after = scored.values
    lines = [pair.before[place] for place in pair.scored]
    result = {
        "before": name_before,
        "after": name_after,
        "kind": pair.as_metric.kind,
        "lower_is_better": pair.as_metric.lower_is_better,
        "bounded": pair.as_metric.bounded,
        "n": len(lines),
        "left_out": len(pair.before) - len(lines),
        "seeds": 1 + len(pair.seeds),
        "value_before": before,
        "value_after": after,
        "difference": judged.difference,
        "low": judged.interval.low,
        "high": judged.interval.high,
        "p": judged.p,
        **scored.counted(),
        "detectable": judged.detectable,
        "power": POWER,
        "verdict": verdict(
            judged.difference, judged.interval, judged.p, config.confidence, pair.as_metric.lower_is_better
        ),
        "gain": gain(pair),
        "slices": slices(lines, scored, config),
        "covers": covers(1 + len(pair.seeds)),
    }
    return {**result, "text": in_words(result, config.confidence)}


def verdict(
    difference: float, interval: Interval, p: float, confidence: float, lower_is_better: bool = False
) -> Verdict:
    """A difference is called shown only if the test and the interval both say so."""
    if p < 1 - confidence and interval.excludes_zero:
        return "better" if (difference < 0) == lower_is_better else "worse"
    return "no difference shown"


def gain(pair: Pair) -> dict[str, float]:
    """Where the difference comes from: answers that became readable or unreadable, and answers that changed.

    `format` counts examples that one model could not answer readably, `content` the others. Their sum is the
    difference; of several seeds, the mean over them.
    """
    unreadable = np.array(
        [
            ["failed" in (pair.before[place]["parse"], lines[place]["parse"]) for place in pair.scored]
            for lines in (pair.after, *pair.seeds)
        ]
    )
    added = pair.measured.contributions
    return {
        "format": float((added * unreadable).sum() / added.size),
        "content": float((added * ~unreadable).sum() / added.size),
    }


def regressions(pair: Pair) -> dict[str, Any]:
    """Examples that went worse: right before and wrong now, or of numbers worse by more than WORSE, worst first.

    `regressions` are the ids of the first MAX_REGRESSIONS, `regression_count` is how many there are. Of the model
    `after`, not of other seeds.
    """
    fallen = []
    for place in pair.scored:
        before, after = (
            goodness(lines[place]["scores"][pair.metric], pair.as_metric.lower_is_better)
            for lines in (pair.before, pair.after)
        )
        assert before is not None and after is not None
        if before - after > WORSE:
            fallen.append((after - before, place))
    ids = [pair.before[place]["id"] for _, place in sorted(fallen)]
    return {"regressions": ids[:MAX_REGRESSIONS], "regression_count": len(ids)}


def one_model(predictions: Sequence[Prediction], metric: str | Metric, confidence: float) -> dict[str, Any]:
    """Value and interval of a single model, with how many of its answers could be read."""
    one = metric_named(metric, [predictions]) if isinstance(metric, str) else metric
    scored = [line for line in predictions if line["scores"][one.name] is not None]
    limits = interval(one, scored, confidence) if scored else None
    parses = [prediction["parse"] for prediction in predictions]
    return {
        "value": one.value(scored),
        "low": None if limits is None else limits.low,
        "high": None if limits is None else limits.high,
        "correct": None if one.kind == "mean" else sum(bool(line["scores"][one.name]) for line in scored),
        "n": len(scored),
        "format": {how: parses.count(how) for how in ("strict", "repaired", "failed")},
    }
