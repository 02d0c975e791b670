"""P08: the marks around the data occur in the data. A text can then end its own frame, or pretend to be another."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sftjobs.lint.facts import Collision, Facts
from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import PLACEHOLDER
from sftjobs.spec.lines import Path
from sftjobs.spec.prompt import PromptSpec

_PAIRS = (
    ('"""', '"""'), ("'''", "'''"), ("```", "```"), ("<<<", ">>>"), ("<<", ">>"), ("[[", "]]"), ("###", "###"),
    ("---", "---"), ("===", "==="), ("“", "”"), ("「", "」"), ("『", "』"), ("【", "】"), ("《", "》"), ('"', '"'),
)  # fmt: skip
_TAG = re.compile(r"<([\w-]+)>\s*$")
_FENCE = re.compile(r"```\w*\s*$")
_FIELD = re.compile(r"(?:^|\n)[ \t]*([^\n\0:：]{1,30}[:：])[ \t]*$")
_MANY = 0.01  # of the examples


@dataclass(frozen=True)
class Delimiter:
    """What tells a value from what is around it."""

    column: str
    text: str
    kind: Literal["closing", "field"]
    """`closing`: ends the frame, wherever it stands; `field`: the name of a field, at the start of a line."""

    def is_in(self, value: str) -> bool:
        """Does a value hold it?"""
        if self.kind == "closing" or self.text not in value:
            return self.text in value
        return any(line.lstrip().startswith(self.text) for line in value.split("\n")[1:])


def delimiters(template: str) -> list[Delimiter]:
    """Delimiters of an input template, each with the placeholder whose value must not hold it."""
    found: list[Delimiter] = []
    matches = list(PLACEHOLDER.finditer(template))
    names = [match.group()[2:-2].strip() for match in matches]
    fields = []
    for i, match in enumerate(matches):
        before = template[matches[i - 1].end() if i else 0 : match.start()]
        after = template[match.end() : matches[i + 1].start() if i + 1 < len(matches) else len(template)]
        closing = _closing(before, after.lstrip())
        if closing is not None:
            found.append(Delimiter(names[i], closing, "closing"))
        elif field := _FIELD.search(before):
            fields.append((i, field.group(1)))
    # A value may fake every field that is not closed; the own name too, which makes one message look like two.
    for i, _ in fields:
        found += [Delimiter(names[i], text, "field") for _, text in fields]
    return list(dict.fromkeys(found))


def _closing(before: str, after: str) -> str | None:
    tag = _TAG.search(before)
    if tag and after.startswith(f"</{tag.group(1)}>"):
        return f"</{tag.group(1)}>"
    if _FENCE.search(before) and after.startswith("```"):
        return "```"
    for opening, closing in _PAIRS:
        if before.rstrip().endswith(opening) and after.startswith(closing):
            return closing
    return None


class CollisionCounter:
    """Counts, record by record, the values that hold a delimiter."""

    def __init__(self, prompt: PromptSpec) -> None:
        self._delimiters = delimiters(prompt.input)
        self._counts: Counter[Delimiter] = Counter()
        self._lines: dict[Delimiter, int | None] = {}

    def look(self, values: Mapping[str, str], line: int | None = None) -> None:
        """Count the values of one record, by placeholder."""
        for delimiter in self._delimiters:
            if delimiter.is_in(values.get(delimiter.column, "")):
                self._counts[delimiter] += 1
                self._lines.setdefault(delimiter, line)

    def found(self) -> tuple[Collision, ...]:
        """For `Facts.collisions`, the most frequent first."""
        ordered = self._counts.most_common()
        return tuple(Collision(one.column, one.text, count, self._lines[one]) for one, count in ordered)


def in_worked_examples(prompt: PromptSpec) -> Iterator[Finding]:
    """P08 in the prompt itself: a worked example holds a delimiter."""
    for index, example in enumerate(prompt.examples):
        for one in delimiters(prompt.input):
            value = example.input.get(one.column, "")
            if one.is_in(value):
                place: Path = ("examples", index, "input", one.column)
                start = value.index(one.text)
                message = f"the value holds {one.text}, which marks its own frame in input"
                span = (start, start + len(one.text))
                yield Part(place, value).finding("P08", "warning", message, _fix(one.text), span)


def in_data(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P08 in the data: a warning from 1 % of the examples on, before that a hint."""
    for one in facts.collisions:
        start = prompt.input.find(one.delimiter)
        span = None if start < 0 else (start, start + len(one.delimiter))
        line = "" if one.first_line is None else f", first in line {one.first_line}"
        count = f"{one.examples:,} value{'s' if one.examples > 1 else ''}"
        message = f"{one.delimiter} marks the data in input and occurs in {count} of {one.column}{line}"
        severity: Literal["warning", "hint"] = "warning" if one.examples >= _MANY * max(1, facts.examples) else "hint"
        yield Part(("input",), prompt.input).finding("P08", severity, message, _fix(one.delimiter), span)


def _fix(delimiter: str) -> str:
    other = "<data> and </data>" if not delimiter.startswith("</") else '""" and """'
    return f"mark it with something that the data does not hold, for example {other}"
