"""The held-out examples as the data stage wrote them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftjobs.errors import DataError


@dataclass(frozen=True, slots=True)
class Example:
    """One held-out example."""

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
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                fields = json.loads(line)
                last = fields["messages"][-1]
                if last["role"] != "assistant":
                    raise DataError(f"{path.name}:{number}: the last message must be the assistant's expected answer")
                examples.append(Example({**fields, "id": fields["id"], "task": fields["task"]}, last["content"]))
            except (json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
                raise DataError(f"{path.name}:{number}: not an example of the data stage: {error!r}") from error
    if not examples:
        raise DataError(f"{path.name}: no held-out examples: set data.held_out in run.yaml so that some are left")
    return examples
