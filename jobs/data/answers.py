"""Is the expected answer of a record in the form that the prompt asks for?"""

import json
import re
import unicodedata
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from jobs.answers import strict_json
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.words import listed, nearest, shortened

_MANY = 8


class Fault(NamedTuple):
    """What is wrong with an answer."""

    rule: str
    """`empty_answer`, `label` or `answer_format`."""
    reason: str


def as_text(value: Any) -> str:
    """A value of a record as text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def without_case_and_width(text: str) -> str:
    """For labels that mean the same: NFKC, case folded, one blank for any white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class AnswerRule:
    """The prompt's output format, ready to check many answers."""

    def __init__(self, prompt: PromptSpec, fix_labels: bool = False) -> None:
        self._labels = list(prompt.labels)
        self._known = set(prompt.labels)
        self._format = prompt.output.format
        self._pattern = re.compile(prompt.output.pattern) if prompt.output.pattern else None
        schema = prompt.output.json_schema
        self._schema = None if schema is None else Draft202012Validator(schema)
        self._alike = _unique({label: without_case_and_width(label) for label in self._labels})
        self._fix_labels = fix_labels

    def normal(self, answer: str) -> str:
        """The answer as it is trained: a label without the white space around it, or as the prompt file writes it."""
        if self._format != "label":
            return answer
        answer = answer.strip()
        if self._fix_labels and answer not in self._known:
            return self._alike.get(without_case_and_width(answer), answer)
        return answer

    def fault(self, answer: str) -> Fault | None:
        """Why the answer does not have the form; None if it has."""
        if not answer.strip():
            return Fault("empty_answer", "the answer is empty")
        if self._format == "label":
            reason = self._label_error(answer)
            return None if reason is None else Fault("label", reason)
        reason = self._json_error(answer) if self._format == "json" else self._pattern_error(answer)
        return None if reason is None else Fault("answer_format", reason)

    def _label_error(self, answer: str) -> str | None:
        if answer in self._known:
            return None
        alike = self._alike.get(without_case_and_width(answer))
        if alike is not None:
            what = f"label {shortened(answer)!r} differs from {alike!r} only in case or width of characters"
            return f"{what}; correct it, or set data.clean.label: fix"
        meant = nearest(answer, self._labels)
        known = listed(self._labels[:_MANY], "and") + (" ..." if len(self._labels) > _MANY else "")
        hint = f"did you mean {meant!r}?" if meant else f"they are {known}."
        return f"label {shortened(answer)!r} is not one of the prompt's labels; {hint} Correct it or add it to `labels`"

    def _pattern_error(self, answer: str) -> str | None:
        if self._pattern is None or self._pattern.fullmatch(answer):
            return None
        return f"the answer '{shortened(answer)}' does not match output.pattern {self._pattern.pattern!r}"

    def _json_error(self, answer: str) -> str | None:
        try:
            value = strict_json.loads(answer)
        except ValueError as error:
            return f"the answer '{shortened(answer)}' is not JSON: {error}"
        found = None if self._schema is None else next(iter(self._schema.iter_errors(value)), None)
        return None if found is None else f"the answer '{shortened(answer)}' breaks output.json_schema: {found.message}"


def _unique(normal: dict[str, str]) -> dict[str, str]:
    """Normal form -> label, where only one label has it."""
    found: dict[str, list[str]] = {}
    for label, form in normal.items():
        found.setdefault(form, []).append(label)
    return {form: labels[0] for form, labels in found.items() if len(labels) == 1}
