"""From a record to an example: the prompt file's three parts and the record's columns become messages."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.data.answers import AnswerRule, Fault, as_text
from jobs.data.examples import Example, Source, make_example
from jobs.data.read import Record, missing_column
from jobs.data.shapes import Shape, ShapeError, conversation, value_at
from jobs.lm.template import Message
from sftjobs.plan.configs import SourceConfig
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.template import LABELS, PLACEHOLDER, fill, placeholders

Mend = Callable[[str], str]


class RecordError(Exception):
    """A record of which no example can be made. `kind` is that of the problem."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Made:
    """The example of a record."""

    example: Example
    fault: Fault | None
    """What is wrong with its answer."""
    mended: bool
    """Whether `mend` changed a text of it."""


class Prompt:
    """A prompt file, ready for many records."""

    def __init__(self, spec: PromptSpec, fix_labels: bool = False, mend: Mend | None = None) -> None:
        """`mend`: applied to every text of a record, never to the prompt's own."""
        self._input = spec.input
        self.placeholders = placeholders(spec.input)
        self._has_labels = spec.output.format == "label"
        self._rule = AnswerRule(spec, fix_labels)
        self._mend = mend or str
        constants = {LABELS: "\n".join(f"- {label}: {meaning}" for label, meaning in spec.labels.items())}
        self._system = None if spec.system is None else fill(spec.system, constants).strip()
        instruction = [] if spec.instruction is None else [fill(spec.instruction, constants).strip()]
        worked = [f"{fill(spec.input, one.input).strip()}\nAnswer: {one.output}" for one in spec.examples]
        before = [*instruction, *(["Examples:\n\n" + "\n\n".join(worked)] if worked else [])]
        self._before_input = "".join(f"{part}\n\n" for part in before)
        self._filled = _pattern(self._input.strip())

    def example(
        self, record: Record, task: str, config: SourceConfig, shape: Shape, file_digest: str, free: bool
    ) -> Made:
        """The example of one record. `free`: a ready conversation may say anything (general data).

        Raises RecordError if a column is missing or the conversation cannot be used.
        """
        asked: dict[str, str] = {}
        if shape == "columns":
            asked, answer = self._asked(record.values, config), as_text(_column(record.values, config.output_column))
            given = [*asked.values(), answer]
            asked = {name: self._mend(text) for name, text in asked.items()}
            answer = self._mend(answer)
            mended = [*asked.values(), answer] != given
            messages = self._messages(asked, answer)
        else:
            messages, mended = self._ready(record.values, shape, config)
            asked = {} if free else self._asked_in(messages)
        fault = None
        checked = shape == "columns" or not free
        if checked:
            answer = self._rule.normal(messages[-1]["content"])
            fault = self._rule.fault(answer)
            messages[-1] = {**messages[-1], "content": answer}
        elif not messages[-1]["content"].strip():
            fault = Fault("empty_answer", "the answer is empty")
        label = messages[-1]["content"] if checked and self._has_labels and fault is None else None
        columns = config.columns
        example = make_example(
            task,
            messages,
            Source(file_digest, record.line),
            label,
            None if columns.difficulty is None else as_text(_column(record.values, columns.difficulty)),
            None if columns.id is None else as_text(_column(record.values, columns.id)),
            tuple(asked[name] for name in sorted(asked)),
        )
        for text in (example.user_id, example.difficulty):
            (text or "").encode()  # half of a surrogate pair is an error here, as in the texts
        return Made(example, fault, mended)

    def corrected(self, example: Example, answer: str, free: bool) -> Made:
        """The example with another answer, which is mended and checked as if the record had it."""
        answer = self._mend(answer)
        if example.inputs or not free:
            answer = self._rule.normal(answer)
            fault = self._rule.fault(answer)
        else:
            fault = None if answer.strip() else Fault("empty_answer", "the answer is empty")
        messages = [*example.messages[:-1], {**example.messages[-1], "content": answer}]
        label = answer if self._has_labels and fault is None and (example.inputs or not free) else None
        new = make_example(
            example.task, messages, example.source, label, example.difficulty, example.user_id, example.inputs
        )
        return Made(new, fault, mended=True)

    def _asked(self, values: dict[str, Any], config: SourceConfig) -> dict[str, str]:
        """The value of each placeholder."""
        mapped = config.columns.inputs
        given = {
            name: as_text(_column(values, mapped.get(name, name), f"{{{{ {name} }}}}")) for name in self.placeholders
        }
        if given and not any(value.strip() for value in given.values()):
            raise RecordError("column", f"nothing is asked: {', '.join(given)} is empty")
        return given

    def _asked_in(self, messages: list[Message]) -> dict[str, str]:
        """What the placeholders stand for in a conversation that this prompt has made; empty for another one.

        A corrected bad case is such a conversation: it asks what its record asks.
        """
        users = [message["content"] for message in messages if message["role"] == "user"]
        if len(users) != 1 or not users[0].startswith(self._before_input):
            return {}
        found = self._filled.fullmatch(users[0], len(self._before_input))
        return {} if found is None else dict(zip(self.placeholders, found.groups(), strict=True))

    def _messages(self, asked: dict[str, str], answer: str) -> list[Message]:
        user = self._before_input + fill(self._input, asked).strip()
        system: list[Message] = [] if self._system is None else [{"role": "system", "content": self._system}]
        return [*system, {"role": "user", "content": user}, {"role": "assistant", "content": answer}]

    def _ready(self, values: dict[str, Any], shape: Shape, config: SourceConfig) -> tuple[list[Message], bool]:
        """A record's own conversation, and whether a text of it was mended."""
        try:
            given = conversation(values, shape, config.columns)
        except ShapeError as error:
            raise RecordError(error.kind, str(error)) from None
        mended: list[Message] = [{**message, "content": self._mend(message["content"])} for message in given]
        return mended, mended != given


def _pattern(template: str) -> "re.Pattern[str]":
    """Matches what `fill` makes of a template; a placeholder that stands twice has to be filled alike."""
    parts, seen, end = [], dict[str, int](), 0
    for found in PLACEHOLDER.finditer(template):
        parts.append(re.escape(template[end : found.start()]))
        name = found.group(1)
        parts.append(f"(?:\\{seen[name]})" if name in seen else "(.*?)")
        seen.setdefault(name, len(seen) + 1)
        end = found.end()
    return re.compile("".join(parts) + re.escape(template[end:]), re.DOTALL)


def _column(values: dict[str, Any], name: str, placeholder: str | None = None) -> Any:
    found, value = value_at(values, name)
    if not found:
        told = f"; the prompt's input asks for it as {placeholder}" if placeholder else "; set `columns` in run.yaml"
        raise RecordError("column", missing_column(name, values) + told)
    if value is None:
        raise RecordError("column", f"column {name!r} is null; give a value or remove the record")
    return value
