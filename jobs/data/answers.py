"""Is the expected answer of a record in the form that the prompt asks for?"""

import json
import re
from typing import Any

from jsonschema import Draft202012Validator

from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.words import listed, nearest, shortened

_MANY = 8


def as_text(value: Any) -> str:
    """A value of a record as text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class AnswerRule:
    """The prompt's output format, ready to check many answers."""

    def __init__(self, prompt: PromptSpec) -> None:
        self._labels = list(prompt.labels)
        self._format = prompt.output.format
        self._pattern = re.compile(prompt.output.pattern) if prompt.output.pattern else None
        schema = prompt.output.json_schema
        self._schema = None if schema is None else Draft202012Validator(schema)

    def normal(self, answer: str) -> str:
        """The answer as it is trained: a label without the white space around it."""
        return answer.strip() if self._format == "label" else answer

    def error(self, answer: str) -> str | None:
        """Why the answer does not have the form; None if it has."""
        if not answer.strip():
            return "the answer is empty"
        if self._format == "label":
            return self._label_error(answer)
        if self._format == "json":
            return self._json_error(answer)
        if self._pattern is not None and not self._pattern.fullmatch(answer):
            return f"the answer '{shortened(answer)}' does not match output.pattern {self._pattern.pattern!r}"
        return None

    def _label_error(self, answer: str) -> str | None:
        if answer in self._labels:
            return None
        meant = nearest(answer, self._labels)
        known = listed(self._labels[:_MANY], "and") + (" ..." if len(self._labels) > _MANY else "")
        hint = f"did you mean {meant!r}?" if meant else f"they are {known}."
        return f"label {shortened(answer)!r} is not one of the prompt's labels; {hint} Correct it or add it to `labels`"

    def _json_error(self, answer: str) -> str | None:
        try:
            value = json.loads(answer, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            return f"the answer '{shortened(answer)}' is not JSON: {error}"
        found = None if self._schema is None else next(iter(self._schema.iter_errors(value)), None)
        return None if found is None else f"the answer '{shortened(answer)}' breaks output.json_schema: {found.message}"


def _refuse(constant: str) -> Any:
    """Python would read NaN and infinity, which evaluation could not."""
    raise ValueError(f"{constant} has no place in JSON")
