"""From a record to an example: the prompt file's three parts and the record's columns become messages."""

from collections.abc import Iterator
from typing import Any

from jobs.data.answers import AnswerRule, as_text
from jobs.data.examples import Example, Source, make_example
from jobs.data.read import Record, missing_column
from jobs.lm.template import Message
from sftjobs.plan.configs import SourceConfig
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.template import LABELS, fill, placeholders

MESSAGES = "messages"
"""A record with this column is a conversation already."""
_ROLES = ("system", "user", "assistant")


class RecordError(Exception):
    """A record of which no example can be made. `kind` is that of the problem."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Prompt:
    """A prompt file, ready for many records."""

    def __init__(self, spec: PromptSpec) -> None:
        self._input = spec.input
        self._columns = placeholders(spec.input)
        self._has_labels = spec.output.format == "label"
        self._rule = AnswerRule(spec)
        constants = {LABELS: "\n".join(f"- {label}: {meaning}" for label, meaning in spec.labels.items())}
        self._system = None if spec.system is None else fill(spec.system, constants).strip()
        instruction = [] if spec.instruction is None else [fill(spec.instruction, constants).strip()]
        worked = [f"{fill(spec.input, one.input).strip()}\nAnswer: {one.output}" for one in spec.examples]
        self._before_input = [*instruction, *(["Examples:\n\n" + "\n\n".join(worked)] if worked else [])]

    def example(self, record: Record, task: str, config: SourceConfig, file_digest: str, free: bool) -> Example:
        """The example of one record. `free`: a ready conversation may say anything (general data).

        Raises RecordError if a column is missing or the answer is not in the form that the prompt asks for.
        """
        ready = MESSAGES in record.values
        asked = {} if ready else self._asked(record.values)
        answer = None if ready else as_text(_column(record.values, config.output_column))
        messages = _conversation(record.values[MESSAGES]) if answer is None else self._messages(asked, answer)
        checked = not (ready and free)
        if checked:
            answer = self._rule.normal(messages[-1]["content"])
            error = self._rule.error(answer)
            if error is not None:
                raise RecordError("label" if self._has_labels and answer else "answer", error)
            messages[-1] = _message("assistant", answer)
        label = messages[-1]["content"] if checked and self._has_labels else None
        user_id = None if config.id_column is None else as_text(_column(record.values, config.id_column))
        inputs = tuple(asked[column] for column in sorted(asked))
        return make_example(task, messages, Source(file_digest, record.line), label, user_id, inputs)

    def _asked(self, values: dict[str, Any]) -> dict[str, str]:
        """The value of each placeholder."""
        given = {column: as_text(_column(values, column, f"{{{{ {column} }}}}")) for column in self._columns}
        if given and not any(value.strip() for value in given.values()):
            raise RecordError("column", f"nothing is asked: {', '.join(given)} is empty")
        return given

    def _messages(self, asked: dict[str, str], answer: str) -> list[Message]:
        user = "\n\n".join([*self._before_input, fill(self._input, asked).strip()])
        system = [] if self._system is None else [_message("system", self._system)]
        return [*system, _message("user", user), _message("assistant", answer)]


def _column(values: dict[str, Any], name: str, placeholder: str | None = None) -> Any:
    if name not in values:
        told = f"; the prompt's input asks for it as {placeholder}" if placeholder else "; set `columns` in run.yaml"
        raise RecordError("column", missing_column(name, values) + told)
    if values[name] is None:
        raise RecordError("column", f"column {name!r} is null; give a value or remove the record")
    return values[name]


def _conversation(value: Any) -> list[Message]:
    """A record's own messages, checked. Raises RecordError."""
    problem = next(_conversation_errors(value), None)
    if problem is not None:
        raise RecordError("messages", f"{MESSAGES}: {problem}")
    return [_message(message["role"], message["content"]) for message in value]


def _conversation_errors(value: Any) -> Iterator[str]:
    if not isinstance(value, list) or not value:
        yield 'must be a list of {"role": ..., "content": ...}'
        return
    for i, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            yield f"message {i + 1} must have a role and a content that is text"
            return
        if message.get("role") not in _ROLES:
            yield f"message {i + 1} has the role {message.get('role')!r}; known: {', '.join(_ROLES)}"
    if value[-1].get("role") != "assistant":
        yield f"the last message must be the assistant's, and this is the {value[-1].get('role')}'s"
    elif not value[-1]["content"].strip():
        yield "the assistant's last message is empty"
    if value[0].get("role") == "assistant":
        yield "the first message is the assistant's; there must be a question before it"
    if not any(message["role"] == "user" for message in value):
        yield "there is no message of the user"


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
