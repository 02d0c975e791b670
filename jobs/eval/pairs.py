"""Two models on the same examples: what changed, how sure that is, and in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.eval.score import Prediction
from jobs.eval.statistics import (
    POWER,
    Interval,
    binary_interval,
    false_discovery,
    mcnemar,
    minimum_detectable_difference,
    wilson,
)
from sftjobs.errors import DataError
from sftjobs.plan.configs import CompareConfig

MIN_SLICE = 20
"""Slices with fewer examples are counted, but nothing is said about them."""

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Predictions of two models, line by line for the same examples."""

    before: Sequence[Prediction]
    after: Sequence[Prediction]
    metric: str

    def outcomes(self) -> list[tuple[bool, bool]]:
        """(right before, right after) per example."""
        return [
            (bool(a["scores"][self.metric]), bool(b["scores"][self.metric]))
            for a, b in zip(self.before, self.after, strict=True)
        ]


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
    """Everything that is said about one pair of models."""
    outcomes = pair.outcomes()
    n = len(outcomes)
    wins = sum(after and not before for before, after in outcomes)
    losses = sum(before and not after for before, after in outcomes)
    interval = binary_interval(wins, losses, n, config.bootstrap_draws, config.confidence, config.seed)
    p = mcnemar(wins, losses)
    difference = (wins - losses) / n
    detectable = minimum_detectable_difference(wins + losses, n, config.confidence)
    decided = verdict(difference, interval, p, config.confidence)
    result = {
        "before": name_before,
        "after": name_after,
        "n": n,
        "value_before": sum(before for before, _ in outcomes) / n,
        "value_after": sum(after for _, after in outcomes) / n,
        "difference": difference,
        "low": interval.low,
        "high": interval.high,
        "p": p,
        "wins": wins,
        "losses": losses,
        "ties_right": sum(before and after for before, after in outcomes),
        "ties_wrong": sum(not before and not after for before, after in outcomes),
        "detectable": detectable,
        "power": POWER,
        "verdict": decided,
        "gain": gain(pair),
        "slices": {"task": slices(pair, "task"), "label": slices(pair, "label")},
    }
    return {**result, "text": in_words(result, config)}


def verdict(difference: float, interval: Interval, p: float, confidence: float) -> Verdict:
    """A difference is called shown only if the exact test and the interval both say so."""
    if p < 1 - confidence and interval.excludes_zero:
        return "better" if difference > 0 else "worse"
    return "no difference shown"


def in_words(result: dict[str, Any], config: CompareConfig) -> str:
    """The verdict as a sentence."""
    before, after = result["before"], result["after"]
    figures = (
        f"{points(result['difference'])} points ({100 * config.confidence:g} % interval {points(result['low'])} to "
        f"{points(result['high'])}, {p_text(result['p'])})"
    )
    if result["verdict"] != "no difference shown":
        return f"{after} is {result['verdict']} than {before}: {figures}"
    return (
        f"no difference shown between {before} and {after}: {figures}; this test set of {result['n']:,} examples "
        f"can show differences of about {100 * result['detectable']:.1f} points"
    )


def points(share: float) -> str:
    """A difference of shares in percentage points, signed."""
    return f"{100 * share:+.1f}"


def p_text(p: float) -> str:
    """A p-value as people write it."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def gain(pair: Pair) -> dict[str, float]:
    """Where the difference comes from: answers that became readable or unreadable, and answers that changed.

    `format` counts examples that one model could not answer readably, `content` the others. Their sum is the
    difference.
    """
    parts = {"format": 0, "content": 0}
    for before, after, (right_before, right_after) in zip(pair.before, pair.after, pair.outcomes(), strict=True):
        unreadable = "failed" in (before["parse"], after["parse"])
        parts["format" if unreadable else "content"] += right_after - right_before
    return {name: count / len(pair.before) for name, count in parts.items()}


def slices(pair: Pair, field: str) -> list[dict[str, Any]]:
    """The comparison within each task or label. `p` is adjusted over the slices that are large enough, else null."""
    groups: dict[str, list[tuple[bool, bool]]] = {}
    for prediction, outcome in zip(pair.before, pair.outcomes(), strict=True):
        if prediction.get(field) is not None:
            groups.setdefault(str(prediction[field]), []).append(outcome)
    found = [_slice(name, groups[name]) for name in sorted(groups)]
    large = [one for one in found if one["n"] >= MIN_SLICE]
    adjusted = false_discovery([mcnemar(one["wins"], one["losses"]) for one in large])
    p_of = {one["name"]: p for one, p in zip(large, adjusted, strict=True)}
    return [{**one, "p": p_of.get(one["name"])} for one in found]


def _slice(name: str, outcomes: list[tuple[bool, bool]]) -> dict[str, Any]:
    n = len(outcomes)
    before, after = sum(a for a, _ in outcomes), sum(b for _, b in outcomes)
    return {
        "name": name,
        "n": n,
        "value_before": before / n,
        "value_after": after / n,
        "wins": sum(b and not a for a, b in outcomes),
        "losses": sum(a and not b for a, b in outcomes),
    }


def one_model(predictions: Sequence[Prediction], metric: str, confidence: float) -> dict[str, Any]:
    """Value and interval of a single model, with how many of its answers could be read."""
    n = len(predictions)
    right = sum(bool(prediction["scores"][metric]) for prediction in predictions)
    interval = wilson(right, n, confidence)
    parses = [prediction["parse"] for prediction in predictions]
    return {
        "value": right / n,
        "low": interval.low,
        "high": interval.high,
        "correct": right,
        "n": n,
        "format": {how: parses.count(how) for how in ("strict", "repaired", "failed")},
    }
