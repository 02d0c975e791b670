"""Rules between the fields of a prompt: each a small function that yields problems. All run."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sftjobs.errors import Problem
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.source import Source
from sftjobs.spec.template import LABELS, placeholders
from sftjobs.spec.words import listed, nearest, shortened

Problems = Iterator[Problem]


def problems(prompt: PromptSpec, source: Source) -> Problems:
    """Everything that the rules find."""
    for rule in (constant_parts, input_varies, labels, pattern, schema, examples):
        yield from rule(prompt, source)


def constant_parts(prompt: PromptSpec, source: Source) -> Problems:
    """System and instruction are the same for every example, so that they are encoded once."""
    for part, text in (("system", prompt.system), ("instruction", prompt.instruction)):
        for name in placeholders(text or ""):
            if name != LABELS:
                message = f"{{{{ {name} }}}} cannot stand here: {part} is constant; move it to input"
                yield source.problem((part,), message)
            elif not prompt.labels:
                yield source.problem((part,), "{{ labels }} needs labels; add `labels:` with a definition for each")


def input_varies(prompt: PromptSpec, source: Source) -> Problems:
    """Without a placeholder every example would be the same."""
    if not placeholders(prompt.input):
        message = "no placeholder: every example would be the same; write for example {{ text }} for the column text"
        yield source.problem(("input",), message)


def labels(prompt: PromptSpec, source: Source) -> Problems:
    """Labels are the answers of output format `label`."""
    if prompt.output.format == "label" and len(prompt.labels) < 2:
        count = "there are none" if not prompt.labels else "there is one"
        message = f"label needs at least two labels, {count}; add `labels:` with a definition for each"
        yield source.problem(("output", "format"), message)
    for name in prompt.labels:
        if not name or name != name.strip():
            message = "a label is text without spaces around it"
            yield source.problem(("labels", name), message)


def pattern(prompt: PromptSpec, source: Source) -> Problems:
    """A pattern, for regex and nothing else."""
    output = prompt.output
    if output.pattern is None:
        if output.format == "regex":
            yield source.problem(("output", "format"), "regex needs a pattern, for example pattern: '[A-Z]{3}[0-9]+'")
        return
    if output.format != "regex":
        message = f"only for output format regex, and this is {output.format}; remove it or change the format"
        yield source.problem(("output", "pattern"), message)
    try:
        re.compile(output.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        message = f"'{shortened(output.pattern)}' is not a regular expression: {error}"
        yield source.problem(("output", "pattern"), message)


def schema(prompt: PromptSpec, source: Source) -> Problems:
    """A JSON Schema, for json and nothing else."""
    output = prompt.output
    if output.json_schema is None:
        return
    where = ("output", "json_schema")
    if output.format != "json":
        message = f"only for output format json, and this is {output.format}; remove it or change the format"
        yield source.problem(where, message)
    reason = _schema_error(output.json_schema)
    if reason:
        yield source.problem(where, f"not a JSON Schema: {reason}")


def examples(prompt: PromptSpec, source: Source) -> Problems:
    """Worked examples look like the real ones."""
    wanted = placeholders(prompt.input)
    for index, example in enumerate(prompt.examples):
        where = ("examples", index)
        for name in wanted:
            if name not in example.input:
                yield source.problem((*where, "input"), f"has no value for the placeholder {{{{ {name} }}}} of input")
        for name in example.input:
            if name not in wanted:
                meant = nearest(name, wanted)
                hint = f", did you mean {meant}?" if meant else f"; it has {listed(wanted, 'and')}" if wanted else ""
                yield source.problem((*where, "input", name), f"input has no placeholder {{{{ {name} }}}}{hint}")
        reason = _answer_error(example.output, prompt)
        if reason:
            yield source.problem((*where, "output"), f"'{shortened(example.output)}' {reason}")


def _answer_error(answer: str, prompt: PromptSpec) -> str | None:
    """Why `answer` does not have the form that the prompt asks for; None if it has."""
    output = prompt.output
    if output.format == "label" and prompt.labels and answer not in prompt.labels:
        meant = nearest(answer, prompt.labels)
        return "is not one of the labels" + (f", did you mean {meant}?" if meant else "")
    if output.format == "json":
        return _json_error(answer, output.json_schema)
    if output.format == "regex" and output.pattern is not None:
        try:
            if not re.fullmatch(output.pattern, answer):
                return f"does not match the pattern {output.pattern}"
        except (re.error, RecursionError, OverflowError):
            return None  # the pattern itself is wrong, which is said elsewhere
    return None if answer else "is empty"


def _json_error(answer: str, wanted: dict[str, Any] | None) -> str | None:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {error}"
    if wanted is None or _schema_error(wanted):
        return None
    try:
        from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    except ImportError:
        return None  # only with the extra `jobs`; the data stage has it and looks again
    first = next(iter(Draft202012Validator(wanted).iter_errors(value)), None)
    return None if first is None else f"does not satisfy output.json_schema: {shortened(first.message)}"


def _schema_error(wanted: dict[str, Any]) -> str | None:
    """Why this is not a JSON Schema; None if it is, as far as the installed libraries can tell."""
    types = ("object", "array", "string", "number", "integer", "boolean", "null")
    kind = wanted.get("type")
    for name in kind if isinstance(kind, list) else [] if kind is None else [kind]:
        if name not in types:
            return f"type '{shortened(str(name))}' is not known; expected {listed(types)}"
    if not isinstance(wanted.get("properties", {}), dict):
        return "properties has to be a mapping of names to schemas"
    try:
        from jsonschema import Draft202012Validator, SchemaError
    except ImportError:
        return None
    try:
        Draft202012Validator.check_schema(wanted)
    except SchemaError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        return f"{place + ': ' if place else ''}{shortened(error.message)}"
    return None
