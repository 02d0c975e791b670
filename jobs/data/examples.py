"""The one example type of all data code: a normalised conversation that ends with the expected answer."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.lm.template import Message
from sftjobs.canonical import digest

_SHORT, _SHORT_LATIN = 6, 12
"""Characters; a Chinese one says as much as two Latin ones."""


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
    difficulty: str | None = None
    """As the record says it."""
    user_id: str | None = None
    """The user's own identifier, from the record."""
    inputs: tuple[str, ...] = ()
    """What the prompt's placeholders stood for, by name of the column; empty for a record of `messages`."""

    @property
    def answer(self) -> str:
        return self.messages[-1]["content"]


def make_example(
    task: str,
    messages: list[Message],
    source: Source,
    label: str | None = None,
    difficulty: str | None = None,
    user_id: str | None = None,
    inputs: tuple[str, ...] = (),
) -> Example:
    """An example with its id."""
    id_ = digest({"task": task, "messages": messages})
    return Example(id_, task, messages, source, label, difficulty, user_id, inputs)


def question_text(example: Example) -> str:
    """What is asked, as text: the record's inputs, or what the user says in a conversation."""
    if example.inputs:
        return "\n".join(example.inputs)
    return "\n".join(message["content"] for message in example.messages if message["role"] == "user")


def question(example: Example) -> str:
    """Digest of what is asked, without case, width and spacing: the record's inputs, or a conversation but its answer.

    The prompt's constant parts do not count, so another wording of the instruction leaves the split as it was. Two
    examples with the same question must never be on different sides.
    """
    if example.inputs:
        return _asked([{"role": "user", "content": text} for text in example.inputs])
    return whole_question(example)


def text_question(text: str) -> str:
    """The same of a text alone, as if a record had it as its only input."""
    return _asked([{"role": "user", "content": text}])


def whole_question(example: Example) -> str:
    """The same of the conversation as a model reads it, the prompt's instruction included."""
    return _asked(example.messages[:-1])


def earlier_questions(example: Example) -> list[str]:
    """The same of every assistant's turn before the last: they are trained too."""
    turns = [i for i, message in enumerate(example.messages[:-1]) if message["role"] == "assistant"]
    return [_asked(example.messages[:turn]) for turn in turns]


def single_turns(example: Example) -> list[str]:
    """Each question of a conversation of several alone, as if a record had it: without what was said before."""
    asked = [message["content"] for message in example.messages if message["role"] == "user"]
    return [text_question(text) for text in asked if is_question(text)] if len(asked) > 1 else []


def is_question(text: str) -> bool:
    """Whether a text alone says enough to be recognised: `thanks` and `go on` do not."""
    return len(text.strip()) >= (_SHORT_LATIN if text.isascii() else _SHORT)


def _asked(messages: Sequence[Message]) -> str:
    return digest([(m["role"], normalised(m["content"])) for m in messages if m["role"] != "system"])


def normalised(text: str) -> str:
    """NFKC, case folded, runs of white space as one space (Unicode Standard Annex 15 and section 3.13)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def as_json(example: Example, tokens: int) -> dict[str, Any]:
    """A line of train.jsonl, held_out.jsonl or dev.jsonl."""
    value: dict[str, Any] = {
        "id": example.id,
        "task": example.task,
        "messages": example.messages,
        "source": {"digest": example.source.digest, "line": example.source.line},
        "tokens": tokens,
    }
    if example.label is not None:
        value["label"] = example.label
    if example.difficulty is not None:
        value["difficulty"] = example.difficulty
    return value
