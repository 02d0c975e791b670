"""Which examples are held out, and that no held-out question is trained on."""

import hashlib
from collections.abc import Sequence

from jobs.data.examples import earlier_questions, whole_question
from jobs.data.gather import GENERAL
from jobs.data.ledger import Entry, kept


def chance(seed: int, text: str) -> float:
    """A number in [0, 1) that depends on nothing but seed and text: the same when data is added or reordered."""
    head = hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8]
    return int.from_bytes(head, "big") / 2**64


def set_aside(entries: Sequence[Entry], fraction: float, seed: int) -> None:
    """Move about `fraction` of the tasks' examples to the held-out side, all that ask the same question together."""
    for entry in entries:
        if entry.side == "train" and entry.example.task != GENERAL and chance(seed, entry.question) < fraction:
            entry.side = "held_out"


def exclude_held_out(entries: Sequence[Entry]) -> None:
    """Drop training examples of which any turn asks what the held-out set asks, dropped held-out examples included.

    A record and a ready conversation (a corrected bad case) meet in either form: with the instruction or without it.
    """
    held_out = [entry for entry in entries if entry.side == "held_out"]
    asked = {question for entry in held_out for question in (entry.question, whole_question(entry.example))}
    for entry in kept(entries, "train"):
        trained = {entry.question, whole_question(entry.example), *earlier_questions(entry.example)}
        if trained & asked:
            entry.rule = "in_held_out"
