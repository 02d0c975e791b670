"""YAML text -> plain values with their lines, and every mistake of notation in words.

Scalars follow the core schema of YAML 1.2: `1e-4` is a number, and `yes`, `no`, `on`, `off` and dates are text.
Keys are always text. Anchors, aliases and tags are refused: a run spec is short, and what it says should be seen.
The tree is built from parse events, not with `yaml.compose`, which overflows the C stack on deep nesting.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from sftjobs.errors import Problem, SpecError
from sftjobs.spec.lines import Lines, Path, dotted

MAX_DEPTH = 40
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]{1,100}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "true": True, "false": False, "null": None}
_SECRET = re.compile(r"(?i)(key|token|secret|passw\w*)[\"']?\s*:|AKIA|ASIA|hf_")
"""What a line with a secret looks like, written by mistake: it is not shown."""


@dataclass(frozen=True)
class Tree:
    """A YAML file as plain values."""

    value: Any
    lines: Lines
    problems: list[Problem]
    """Mistakes that leave the rest readable, such as a duplicate key."""


def parse(text: bytes, file: str) -> Tree:
    """Read one YAML document. Raises SpecError where the notation is so wrong that nothing more can be said."""
    decoded = _decode(text, file)
    builder = _Builder(file)
    try:
        value = builder.document(yaml.parse(decoded, Loader=_LOADER))
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError([_notation(error, decoded, file)]) from None
    return Tree(value, Lines(builder.lines), builder.problems)


def _decode(text: bytes, file: str) -> str:
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{text[error.start]:02x} is not UTF-8; save the file with the encoding UTF-8"
        raise SpecError([Problem(file, line, "", message)]) from None
    bad = yaml.reader.Reader.NON_PRINTABLE.search(decoded)
    if bad:
        line = decoded.count("\n", 0, bad.start()) + 1
        message = f"invisible character U+{ord(bad.group()):04X}, which YAML does not allow; delete it"
        raise SpecError([Problem(file, line, "", message)])
    return decoded


@dataclass
class _Builder:
    file: str
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def document(self, events: Iterator[Any]) -> Any:
        """The value of the only document; None if there is none."""
        value = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "a second document begins here (`---`); a file holds one")
            elif isinstance(event, yaml.NodeEvent):
                value = self._node(event, events, ())
        return value

    def _node(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        self._refuse_references(event, path)
        if len(path) > MAX_DEPTH:
            self._stop(event, f"more than {MAX_DEPTH} levels of nesting")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        return _scalar(event)

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key in events:
            if isinstance(key, yaml.MappingEndEvent):
                break
            if not isinstance(key, yaml.ScalarEvent):
                self._stop(key, "a key must be text; put text that begins with { or [, such as {{ column }}, in quotes")
            line = key.start_mark.line + 1
            below = (*path, key.value)
            self._refuse_references(key, below)
            if key.value in value:
                first = self.lines[below]
                message = f"written twice, first in line {first}; keep one of them"
                self.problems.append(Problem(self.file, line, dotted(below), message))
                kept = {p: n for p, n in self.lines.items() if p[: len(below)] == below}
                self._node(next(events), events, below)
                self.lines.update(kept)
            else:
                self.lines[below] = line
                value[key.value] = self._node(next(events), events, below)
        return value

    def _sequence(self, events: Iterator[Any], path: Path) -> list[Any]:
        value: list[Any] = []
        for item in events:
            if isinstance(item, yaml.SequenceEndEvent):
                break
            below = (*path, len(value))
            self.lines[below] = item.start_mark.line + 1
            value.append(self._node(item, events, below))
        return value

    def _refuse_references(self, event: Any, path: Path) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            message = "anchors and aliases (&, *) are not supported; write the value out, or put it in quotes"
            self._stop(event, message, path)
        if event.tag is not None:
            self._stop(event, "tags (!) are not supported; put text that begins with ! in quotes", path)

    def _stop(self, event: Any, message: str, path: Path = ()) -> None:
        raise SpecError([*self.problems, Problem(self.file, event.start_mark.line + 1, dotted(path), message)])


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style not in (None, ""):
        return text
    if text in _WORDS or (text.lower() in _WORDS and text in (text.upper(), text.capitalize())):
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text) and len(text) < 100:
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _notation(error: Exception, text: str, file: str) -> Problem:
    """A syntax error with line, column and excerpt, in our words where the parser's do not help."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Problem(file, None, "", "not YAML: it holds an escape or a character that is not allowed")
    lines = text.split("\n")
    row = min(mark.line, len(lines) - 1)
    message = f"not YAML, column {mark.column + 1}: {_reason(error, lines, row)}"
    shown = lines[row].replace("\t", "→")
    if shown.strip() and not _SECRET.search("\n".join(lines[max(0, row - 1) : row + 1])):
        message += f"\n        {shown}\n        {' ' * mark.column}^"
    return Problem(file, row + 1, "", message)


def _reason(error: Exception, lines: list[str], row: int) -> str:
    problem = str(getattr(error, "problem", None) or "cannot be read")
    context = str(getattr(error, "context", None) or "")
    line = lines[row]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab (→); indent with spaces"
    if "cannot start any token" in problem:
        return "a value cannot begin with this character; put the value in quotes"
    if "mapping values are not allowed" in problem and len(re.findall(r":(?:\s|$)", line)) < 2:
        return "this key is indented differently from the lines above"
    if "mapping values are not allowed" in problem:
        return "a second ':' in one line; put text that holds ': ' in quotes"
    if "quoted scalar" in context:
        return "a quotation mark that is opened and never closed"
    if "flow mapping" in context or "flow sequence" in context or "flow node" in context:
        return "a '{' or '[' that is not closed, or a comma is missing"
    if "block mapping" in context or "could not find expected ':'" in problem:
        return "a 'key: value' was expected; is the indentation that of the lines above, and is there a ':'?"
    return f"{context + ', ' if context else ''}{problem}"
