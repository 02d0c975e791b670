"""Fewer examples than there are: limits and selection, by the seed and never by the order of the data."""

from hashlib import blake2b

import numpy as np

from jobs.data.balance import shares
from jobs.data.names import GENERAL
from jobs.data.table import Array, Table
from sftjobs.plan.configs import DataConfig, SelectConfig


def by_seed(table: Table, rows: Array, seed: int) -> Array:
    """`rows` in an order that depends on seed and content only; equal examples in the order of reading."""
    key = seed.to_bytes(8, "little")
    places = [blake2b(one, digest_size=8, key=key).digest() for one in table["id"][rows].tolist()]
    return rows[np.lexsort((rows, np.array(places, "S8")))] if len(rows) else rows


def apply_limits(table: Table, config: DataConfig) -> None:
    """`max_per_label` and `max_examples` of each task and of the held-out set, then `data.select`."""
    for task, source in config.tasks.items():
        if source.max_per_label is not None:
            rows = by_seed(table, table.kept("train", task), config.seed)
            labels = table["label"][rows]
            rank = _rank(labels)
            table.drop(rows[(rank >= source.max_per_label) & (labels >= 0)], "max_per_label")
        if source.max_examples is not None:
            rows = by_seed(table, table.kept("train", task), config.seed)
            table.drop(rows[source.max_examples :], "max_examples")
    if config.held_out_max is not None:
        table.drop(by_seed(table, table.kept("held_out"), config.seed)[config.held_out_max :], "held_out_max")
    if config.select is not None:
        select(table, config.select, config.seed)


def select(table: Table, config: SelectConfig, seed: int) -> None:
    """Keep `config.keep` of the tasks' training examples; general data is mixed in by its ratio and not counted."""
    rows = by_seed(table, np.flatnonzero(table.is_kept("train") & ~table.of(task=GENERAL)), seed)
    groups = _groups(table, rows, config)
    rank = _rank(groups)
    _, first, group, numbers = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    keys = [_key(table, row, config) for row in rows[first].tolist()]
    wanted = shares(dict(zip(keys, numbers.tolist(), strict=True)), config.keep)
    table.drop(rows[rank >= np.array([wanted[key] for key in keys], np.int64)[group]], "not_selected")


def _groups(table: Table, rows: Array, config: SelectConfig) -> Array:
    """A number for each combination of what has to be balanced."""
    combined = np.zeros(len(rows), np.int64)
    for wanted, column in ((config.per_label, "answer"), (config.per_difficulty, "difficulty")):
        if wanted == "balanced":
            codes = np.unique(table[column][rows], return_inverse=True)[1]
            combined = combined * (codes.max(initial=0) + 1) + codes
    return combined


def _key(table: Table, row: int, config: SelectConfig) -> tuple[str, ...]:
    """What a group is called: label and difficulty, as far as they have to be balanced."""
    example = table.example(row)
    label = (example.answer,) if config.per_label == "balanced" else ()
    difficulty = "" if example.difficulty is None else f"={example.difficulty}"  # none and an empty one are two groups
    return (*label, difficulty) if config.per_difficulty == "balanced" else label


def _rank(groups: Array) -> Array:
    """How many of the same group come before each."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(groups) else np.zeros(0, np.int64)
    rank = np.zeros(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
    return rank
