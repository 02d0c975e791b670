"""Advice about data that can be used but could be better. Each has its reason; none stops a run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from jobs.data.counts import dropped, label_counts
from jobs.data.table import Table
from sftjobs.plan.configs import DataConfig
from sftjobs.spec.words import listed

_MANY_DUPLICATES = 0.05
_MANY_TOO_LONG = 0.01
_LONG_PROMPT = 0.5  # of an example
_LONG_PROMPT_TOKENS = 500
_SMALL_HELD_OUT = 200
_DISCORDANT = 0.2  # assumed share of held-out examples on which two models differ
_POWER = 1.96 + 0.84  # normal quantiles: two-sided 5 % and power 80 %
_MANY = 6


@dataclass(frozen=True)
class Advice:
    """One piece of advice."""

    text: str
    reason: str


@dataclass(frozen=True)
class Measured:
    """What was measured beside the entries themselves."""

    tokens: dict[str, Any] | None
    """The token table; None if there is no model yet."""
    conflicts: int
    """Questions with more than one answer."""


def advise(table: Table, config: DataConfig, measured: Measured) -> list[Advice]:
    """All advice that applies, the most important first."""
    found = [
        *_on_conflicts(measured.conflicts),
        *_on_labels(table, config),
        *_on_held_out(len(table.kept("held_out"))),
        *_on_repeats(table),
    ]
    return found if measured.tokens is None else [*found, *_on_tokens(measured.tokens)]


def minimum_detectable_difference(examples: int) -> float:
    """Smallest difference in accuracy that a paired test on so many examples is likely (80 %) to find at 5 %.

    z * sqrt(d / n) for McNemar's test with a share d of discordant pairs (Connor 1987, without the small second term).
    """
    return min(1.0, _POWER * sqrt(_DISCORDANT / examples))


def _on_conflicts(questions: int) -> Iterator[Advice]:
    if questions:
        yield Advice(
            f"{questions:,} questions have more than one answer in the training data: keep the right one",
            "the model is taught both, and learns neither",
        )


def _on_labels(table: Table, config: DataConfig) -> Iterator[Advice]:
    held_out = label_counts(table, table.kept("held_out"), config)
    unseen = [label for label, number in held_out.items() if not number]
    if unseen:
        yield Advice(f"add held-out examples of {_some(unseen)}", "nothing will be known about labels without any")


def _on_held_out(number: int) -> Iterator[Advice]:
    if 0 < number < _SMALL_HELD_OUT:
        points = 100 * minimum_detectable_difference(number)
        yield Advice(
            f"hold out more than {number} examples",
            f"with {number}, a difference below about {points:.0f} points of accuracy will often not be found "
            f"(5 % level, 80 % power, if the models differ on {_DISCORDANT:.0%} of the examples)",
        )


def _on_repeats(table: Table) -> Iterator[Advice]:
    rules = Counter(dropped(table))
    repeats = rules["duplicate"] + rules["near_duplicate"]
    if repeats > _MANY_DUPLICATES * len(table):
        yield Advice(
            f"look at where the data comes from: {repeats:,} of {len(table):,} records repeat another",
            f"{rules['duplicate']:,} exactly and {rules['near_duplicate']:,} nearly; they are dropped",
        )
    overlaps = rules["held_out_exact"] + rules["held_out_ngram"] + rules["held_out_near"]
    if overlaps:
        yield Advice(
            f"{overlaps:,} training examples ask what the held-out set asks, or nearly that: they are dropped",
            "a model that has seen the held-out questions would look better than it is",
        )


def _on_tokens(tokens: dict[str, Any]) -> Iterator[Advice]:
    if tokens["too_long"] > _MANY_TOO_LONG * tokens["counted"]:
        yield Advice(
            f"raise data.max_tokens from {tokens['max_tokens']:,} (the longest example has {tokens['max']:,} tokens)",
            f"{tokens['too_long']:,} of {tokens['counted']:,} counted examples are longer and dropped",
        )
    if tokens["common_prefix_tokens"] > max(_LONG_PROMPT_TOKENS, _LONG_PROMPT * tokens["mean"]):
        yield Advice(
            "shorten the constant part of the prompt if you can",
            f"{tokens['common_prefix_tokens']:,} of {tokens['mean']:,.0f} tokens per example are the same in all",
        )


def _some(names: Sequence[str]) -> str:
    shown = list(names[:_MANY])
    rest = len(names) - len(shown)
    return f"{', '.join(shown)} and {rest} more" if rest else listed(shown, "and")
