"""Held-out and training examples as the data stage wrote them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftjobs.errors import DataError


@dataclass(frozen=True, slots=True)
class Example:
    """One example."""

    fields: dict[str, Any]
    """Everything the data stage wrote about it."""
    expected: str
    """The answer of its last assistant turn."""

    @property
    def id(self) -> str:
        return str(self.fields["id"])

    @property
    def task(self) -> str:
        return str(self.fields["task"])

    @property
    def label(self) -> str | None:
        label = self.fields.get("label")
        return None if label is None else str(label)

    @property
    def messages(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = self.fields["messages"]
        return messages


def read_examples(path: Path) -> list[Example]:
    """Raises DataError naming file and line, or if there are none."""
    examples = []
    for number, fields in lines(path):
        last = fields["messages"][-1]
        if last["role"] != "assistant":
            raise DataError(f"{path.name}:{number}: the last message must be the assistant's expected answer")
        examples.append(Example(fields, last["content"]))
    if not examples:
        raise DataError(f"{path.name}: no held-out examples: set data.held_out in run.yaml so that some are left")
    return examples


def lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and fields of each example in a file of the data stage, one at a time: a file may be larger than memory.

    Each has an id, a task and at least one message. Raises DataError naming file and line.
    """
    name = f"{path.parent.name}/{path.name}"  # of the input
    if not path.is_file():
        raise DataError(f"input {name} is missing: is it the artifact of a data stage?")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                fields = json.loads(line)
                _ = fields["id"], fields["task"], [(one["role"], one["content"]) for one in fields["messages"]][-1]
            except (json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
                raise DataError(f"input {name}:{number}: not an example of the data stage: {error!r}") from error
            yield number, fields
