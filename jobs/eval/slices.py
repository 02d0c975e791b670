"""The comparison within slices of the held-out set."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jobs.answers.predict import Prediction
from jobs.eval.measure import Measured
from jobs.eval.score import SLICES
from jobs.eval.statistics import false_discovery
from sftjobs.plan.configs import CompareConfig

MIN_SLICE = 20
"""Slices with fewer examples are counted, but nothing is said about them."""
SLICE_DRAWS = 2_000
"""Of the bootstrap within a slice."""

SliceOf = Callable[[Prediction], str | None]


def slices(lines: Sequence[Prediction], scored: Measured, config: CompareConfig) -> dict[str, list[dict[str, Any]]]:
    """By task, label, difficulty, source and length of the question: each a list, empty where nothing is known.

    `lines` are the examples of `scored`.
    """
    by_name: dict[str, SliceOf] = {**SLICES, "label": _label}
    found = {name: by(lines, scored, by_name[name], config) for name in sorted(by_name)}
    return {**found, "length": by(lines, scored, terciles(lines), config)}


def by(lines: Sequence[Prediction], scored: Measured, slice_of: SliceOf, config: CompareConfig) -> list[dict[str, Any]]:
    """One way to slice. `low`, `high` and `p` are null for small slices; `p` is adjusted over the others."""
    groups: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        name = slice_of(line)
        if name is not None:
            groups.setdefault(name, []).append(place)
    few = config.model_copy(update={"bootstrap_draws": min(SLICE_DRAWS, config.bootstrap_draws)})
    found = [_slice(name, scored.part(groups[name]), few) for name in sorted(groups)]
    adjusted = iter(false_discovery([one["p"] for one in found if one["p"] is not None]))
    return [{**one, "p": None if one["p"] is None else next(adjusted)} for one in found]


def _slice(name: str, part: Measured, config: CompareConfig) -> dict[str, Any]:
    before, after = part.values
    counted = part.counted()
    result = {
        "name": name,
        "n": len(part.before),
        "value_before": before,
        "value_after": after,
        "difference": after - before,
        "wins": counted["wins"],
        "losses": counted["losses"],
    }
    if len(part.before) < MIN_SLICE:
        return {**result, "low": None, "high": None, "p": None}
    judged = part.judge(config)
    return {**result, "low": judged.interval.low, "high": judged.interval.high, "p": judged.p}


def _label(line: Prediction) -> str | None:
    return None if line.get("label") is None else str(line["label"])


def terciles(lines: Sequence[Prediction]) -> SliceOf:
    """Three slices of about as many examples, by characters of what the model was given; one if all are as long."""
    lengths = [_length(line) for line in lines]
    if any(length is None for length in lengths):
        return lambda line: None
    first, second = (int(one) for one in np.quantile(np.array(lengths), [1 / 3, 2 / 3], method="inverted_cdf"))

    def slice_of(line: Prediction) -> str:
        length = _length(line) or 0
        if length <= first:
            return f"1: up to {first:,} characters"
        return f"2: up to {second:,} characters" if length <= second else f"3: over {second:,} characters"

    return slice_of


def _length(line: Prediction) -> int | None:
    """Characters of the messages before the expected answer."""
    messages = line.get("messages")
    return None if not messages else sum(len(message["content"]) for message in messages[:-1])
