"""What pydantic found wrong, said as a person would: one problem per field, with value, rule and way out."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from sftjobs.errors import Problem
from sftjobs.spec.fields import Fields
from sftjobs.spec.lines import Lines, Path, dotted
from sftjobs.spec.words import (
    choices,
    describe,
    expected,
    listed,
    nearest,
    pattern_words,
    plain_number,
    shortened,
    takes_numbers,
    takes_text,
)  # fmt: skip

SECRET = "a secret is never written here: put it into an environment variable and write {env: NAME_OF_THE_VARIABLE}"
SYNONYMS = {"lr": "learning_rate", "r": "rank", "test": "held_out", "validation": "held_out", "batch": "batch_size"}
EXAMPLES = {
    "name": "name: tickets-v1",
    "model": "model: hf://org/name@revision",
    "prompt": "prompt: prompts/tickets.yaml",
    "data": "data: {tasks: {tickets: {path: train.jsonl}}, held_out: {fraction: 0.1}}",
    "tasks": "tasks: {tickets: {path: train.jsonl}}",
    "held_out": "held_out: {path: held_out.jsonl}, or held_out: {fraction: 0.1}",
    "path": "path: data/train.jsonl",
    "model.path": "path: hf://org/name@revision",
    "keep": "keep: 800",
    "uri": "uri: s3://bucket/prefix",
    "env": "env: MY_SECRET",
    "input": 'input: "Message: {{ text }}"',
    "examples.input": "input: {text: My invoice is wrong}",
    "output": "output: billing",
    "file": "file: metrics.py",
    "command": 'command: [vllm, serve, "{model}", --port, "{port}"]',
}
"""How a required field is written; looked up by its path without list positions, then by its name."""


class Explainer:
    """Explains the errors of one file, or of a part of one."""

    def __init__(self, file: str, lines: Lines, model: type[BaseModel], prefix: Path = ()) -> None:
        self._file = file
        self._lines = lines
        self._fields = Fields(model)
        self._prefix = prefix
        self.wrong: list[Path] = []
        """Paths of values that are wrong, and of unknown keys."""
        self.missing: list[Path] = []
        """Paths of required keys that are not there."""

    def explain(self, error: ValidationError, value: Any) -> Iterator[Problem]:
        """Problems in the order in which pydantic found them; `value` is what was validated."""
        found: dict[Path, str] = {}
        for item in error.errors(include_url=False, include_context=False):
            kind = "key" if item["loc"][-1:] == ("[key]",) else item["type"]
            found.setdefault(self._up_to_secret(real_path(item["loc"], value, kind)), kind)
        inner = set(found)
        for path, kind in found.items():
            if any(other[: len(path)] == path and other != path for other in inner):
                continue  # another alternative of the same field fits better, and says what is wrong inside
            if kind == "missing" and not self._fields.is_model(path, "FromEnv"):
                self.missing.append(path)
            else:
                self.wrong.append(path)
            full = self._prefix + path
            yield Problem(self._file, self._lines.of(full), dotted(full), self._message(path, kind, value))

    def _up_to_secret(self, path: Path) -> Path:
        """The path, cut where a secret begins: what is written inside it by mistake may be the secret."""
        cut = (path[:n] for n in range(1, len(path)) if self._fields.is_model(path[:n], "FromEnv"))
        return next(cut, path)

    def _message(self, path: Path, kind: str, value: Any) -> str:
        if self._fields.is_model(path, "FromEnv"):
            return SECRET
        if kind == "missing":
            return f"required, and missing; write for example `{_example(path)}`"
        if kind == "extra_forbidden":
            return self._unknown(path)
        if kind == "key":
            return f"'{shortened(str(path[-1]))}' cannot be a name here; letters, digits and '_' are always fine"
        return self._wrong(path, _at(value, path))

    def _unknown(self, path: Path) -> str:
        key = str(path[-1])
        known = self._fields.names(path[:-1])
        meant = SYNONYMS[key] if SYNONYMS.get(key) in known else nearest(key, known)
        if meant:
            return f"unknown key, did you mean {meant}?"
        homes = self._fields.homes(key) or self._fields.homes(SYNONYMS.get(key, ""))
        if homes:
            return f"unknown key here, it belongs to {listed(homes)}"
        where = "known at the top" if len(path) == 1 else "known here"
        return f"unknown key; {where}: {', '.join(known)}" if known else "unknown key"

    def _wrong(self, path: Path, value: Any) -> str:
        schema = self._fields.at(path)
        if schema is None:
            return f"{describe(value)}; expected a mapping"
        wanted = expected(schema, self._fields.definitions)
        if value is None:
            default = ", or remove the key to take the default" if "default" in schema else ""
            return f"nothing is written here; write {wanted}{default}"
        known = choices(schema)
        if isinstance(value, str) and takes_numbers(schema) and plain_number(value):
            number = plain_number(value)
            return f"'{shortened(value)}' is text; write the number as {number}, without quotes, '_' or ','"
        if isinstance(value, str) and known and not takes_text(schema):
            return self._choice(value, known, wanted)
        if isinstance(value, int | float) and not isinstance(value, bool) and takes_numbers(schema):
            return f"{value} is not allowed; expected {wanted}"
        if isinstance(value, int | float) and takes_text(schema):
            shown = str(value).lower() if isinstance(value, bool) else value
            return f'{describe(value)}; expected text: put it in quotes, "{shown}"'
        if isinstance(value, str) and value.strip() and pattern_words(schema):
            return f"'{shortened(value)}' cannot be used here; expected {pattern_words(schema)}"
        return f"{describe(value)}; expected {wanted}"

    def _choice(self, value: str, known: list[str], wanted: str) -> str:
        meant = nearest(value, known)
        hint = f", did you mean {meant}?" if meant and len(known) > 1 else ""
        return f"'{shortened(value)}' is not one of the choices; expected {wanted}{hint}"


def _example(path: Path) -> str:
    keys = [part for part in path if isinstance(part, str)]
    return EXAMPLES.get(".".join(keys)) or EXAMPLES.get(keys[-1]) or f"{keys[-1]}: ..."


def real_path(loc: tuple[int | str, ...], value: Any, kind: str) -> Path:
    """The place in the file: without the names that pydantic gives to the alternatives of a field."""
    path: list[int | str] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        ):
            path.append(part)
            value = value[part]  # type: ignore[index]
        elif last and kind == "missing":
            path.append(part)
    return tuple(path)


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
