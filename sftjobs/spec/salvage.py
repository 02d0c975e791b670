"""Validate, and when something is wrong, keep what is right: so that the rest can still be checked in the same go."""

import copy
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sftjobs.errors import Problem
from sftjobs.spec.explain import Explainer, real_path
from sftjobs.spec.lines import Path, dotted
from sftjobs.spec.source import Source

M = TypeVar("M", bound=BaseModel)
STAND_INS: dict[str, Any] = {
    "name": "stand-in",
    "model": {"path": "hf://stand/in"},
    "path": "s3://stand/in.jsonl",
    "uri": "stand-in",
    "held_out": {"fraction": 0.5},
    "tasks": {"stand-in": {"path": "s3://stand/in.jsonl"}},
    "data": {"tasks": {"stand-in": {"path": "s3://stand/in.jsonl"}}, "held_out": {"fraction": 0.5}},
    "keep": 1,
}
"""For required fields that are missing or wrong: values that no rule finds fault with, and that are no files."""


class Salvage:
    """The validations of one load."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._wrong: set[tuple[str, str]] = set()

    def validate(self, model: type[M], raw: dict[str, Any], source: Source) -> M | None:
        """The typed value, with problems noted. What is wrong has its default or a stand-in; None if that fails."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            explainer = Explainer(source.file, source.lines, model, source.prefix)
            self.problems += explainer.explain(error, raw)
        wrong = {_outside_lists(path) for path in explainer.wrong}
        self._wrong |= {(source.file, dotted(source.prefix + path)) for path in wrong | set(explainer.missing)}
        rest = _without(raw, wrong)
        try:
            return model.model_validate(rest)
        except ValidationError as error:
            if not _fill(rest, error):
                return None
        try:
            return model.model_validate(rest)
        except ValidationError:
            return None

    def touches(self, file: str, path: str) -> bool:
        """True if the value at the dotted path, or something inside or around it, is not what was written."""
        return any(_inside(wrong, path) or _inside(path, wrong) for name, wrong in self._wrong if name == file)


def _outside_lists(path: Path) -> Path:
    """The path, cut before the first list position: a list with a wrong item is taken out whole."""
    return next((path[:index] for index, part in enumerate(path) if isinstance(part, int)), path)


def _without(raw: dict[str, Any], wrong: Iterable[Path]) -> dict[str, Any]:
    """A copy without the values at `wrong`."""
    rest: Any = copy.deepcopy(raw)
    for path in sorted(wrong, key=len, reverse=True):
        inner = rest
        for part in path[:-1]:
            inner = inner[part]
        inner.pop(path[-1], None)
    return dict(rest)


def _fill(rest: dict[str, Any], error: ValidationError) -> bool:
    """Put stand-ins where required fields are missing; False if something else is wrong or has no stand-in."""
    for item in error.errors(include_url=False, include_context=False):
        path = real_path(item["loc"], rest, item["type"])
        if item["type"] != "missing":
            continue  # another alternative of a field; if not, the next validation says so
        if path[-1] not in STAND_INS:
            return False
        inner: Any = rest
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = copy.deepcopy(STAND_INS[str(path[-1])])
    return True


def _inside(path: str, outer: str) -> bool:
    """True if the dotted `path` is `outer` or a part of it."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))
