"""Fewer examples than there are: limits and selection, by the seed and never by the order of the data."""

from collections import defaultdict
from collections.abc import Sequence

from jobs.data.gather import GENERAL
from jobs.data.ledger import Entry, Rule, kept
from jobs.data.split import chance
from sftjobs.plan.configs import DataConfig, SelectConfig


def limit(entries: Sequence[Entry], at_most: int | None, rule: Rule, seed: int) -> None:
    """Keep the `at_most` entries that the seed puts first."""
    for entry in shuffled(entries, seed)[len(entries) if at_most is None else at_most :]:
        entry.rule = rule


def apply_limits(entries: Sequence[Entry], config: DataConfig) -> None:
    """`max_examples` of each task and of the held-out set."""
    for task, source in config.tasks.items():
        limit(kept(entries, "train", task), source.max_examples, "max_examples", config.seed)
    limit(kept(entries, "held_out"), config.held_out_max, "held_out_max", config.seed)


def select(entries: Sequence[Entry], config: SelectConfig, seed: int) -> None:
    """Keep `config.keep` of the tasks' training examples; general data is mixed in by its ratio and not counted."""
    candidates = [entry for entry in kept(entries, "train") if entry.example.task != GENERAL]
    if config.per_label == "any":
        limit(candidates, config.keep, "not_selected", seed)
        return
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in candidates:
        groups[entry.example.answer].append(entry)
    quotas = balanced({answer: len(group) for answer, group in groups.items()}, config.keep)
    for answer, group in groups.items():
        limit(group, quotas[answer], "not_selected", seed)


def balanced(available: dict[str, int], keep: int) -> dict[str, int]:
    """Share `keep` as equally as the available numbers allow: what a small label cannot use goes to the others."""
    quotas: dict[str, int] = {}
    left = keep
    for i, (name, count) in enumerate(sorted(available.items(), key=lambda item: (item[1], item[0]))):
        quotas[name] = min(count, left // (len(available) - i))
        left -= quotas[name]
    return quotas


def shuffled(entries: Sequence[Entry], seed: int) -> list[Entry]:
    """An order that depends on seed and content only."""
    return sorted(entries, key=lambda entry: (chance(seed, entry.example.id), entry.example.source.line))
