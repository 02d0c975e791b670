"""The one example type of all data code: a normalised conversation that ends with the expected answer."""

import unicodedata
from dataclasses import dataclass
from typing import Any

from jobs.lm.template import Message
from sftjobs.canonical import digest


@dataclass(frozen=True, slots=True)
class Source:
    """Where an example came from. Never a path: the same data gives the same artifact on every machine."""

    digest: str
    """SHA-256 of the file."""
    line: int
    """From 1."""


@dataclass(frozen=True, slots=True)
class Example:
    """One normalised conversation."""

    id: str
    """Digest of task and messages."""
    task: str
    messages: list[Message]
    source: Source
    label: str | None = None
    """The answer, if it is one of the prompt's labels."""
    user_id: str | None = None
    """The user's own identifier, from the record."""

    @property
    def answer(self) -> str:
        return self.messages[-1]["content"]


def make_example(
    task: str, messages: list[Message], source: Source, label: str | None = None, user_id: str | None = None
) -> Example:
    """An example with its id."""
    return Example(digest({"task": task, "messages": messages}), task, messages, source, label, user_id)


def question(example: Example) -> str:
    """Digest of what is asked: all messages but system and answer, without case, width and spacing.

    Two examples with the same question must never be on different sides of the split.
    """
    asked = [
        (message["role"], normalised(message["content"]))
        for message in example.messages[:-1]
        if message["role"] != "system"
    ]
    return digest(asked)


def normalised(text: str) -> str:
    """NFKC, case folded, runs of white space as one space (Unicode Standard Annex 15 and section 3.13)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def as_json(example: Example, tokens: int) -> dict[str, Any]:
    """A line of train.jsonl or held_out.jsonl."""
    value: dict[str, Any] = {
        "id": example.id,
        "task": example.task,
        "messages": example.messages,
        "source": {"digest": example.source.digest, "line": example.source.line},
        "tokens": tokens,
    }
    return value if example.label is None else {**value, "label": example.label}
