"""Exact duplicates, and questions that have more than one answer."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.data.ledger import Entry, kept


def drop_duplicates(entries: Sequence[Entry]) -> None:
    """Keep the first of examples with the same task and messages, on each side."""
    seen: set[tuple[str, str]] = set()
    for entry in kept(entries):
        key = (entry.side, entry.example.id)
        if key in seen:
            entry.rule = "duplicate"
        seen.add(key)


@dataclass(frozen=True)
class Conflict:
    """A question of one task with different answers. All are kept: a person has to say which one is right."""

    task: str
    question: str
    """As it is asked in the first of them."""
    answers: list[tuple[str, int]]
    """Answer and line of each example."""


def conflicts(entries: Sequence[Entry]) -> list[Conflict]:
    """Same task and question, more than one answer, among the training examples that are kept."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in kept(entries, "train"):
        groups[entry.example.task, entry.question].append(entry)
    return [
        Conflict(
            task,
            group[0].example.messages[-2]["content"],
            [(entry.example.answer, entry.example.source.line) for entry in group],
        )
        for (task, _), group in groups.items()
        if len({entry.example.answer for entry in group}) > 1
    ]
