"""`load`: run.yaml -> Loaded, or one SpecError with everything that is wrong with it.

Notation, shape (`RunSpec`), cross-field rules and local files are looked at in one go: what is wrong in one part is
taken out, so that the rest can still be checked. Inputs on S3 or a hub are not touched.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sftjobs.errors import Problem, SpecError
from sftjobs.spec import lines, rules
from sftjobs.spec.explain import Explainer
from sftjobs.spec.lines import Lines, dotted
from sftjobs.spec.paths import absolute, read_text_file
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import RunSpec, StoreSpec
from sftjobs.spec.source import Source, Written
from sftjobs.spec.yaml_tree import Tree, parse

M = TypeVar("M", bound=BaseModel)
NO_PROMPT = PromptSpec(input="-")
"""Stands in for a prompt that could not be read, so that the rest of the spec can be checked."""


@dataclass(frozen=True)
class Loaded:
    """A run.yaml without a problem."""

    spec: RunSpec
    """Every default filled: `model` is a ModelSpec, `store` a StoreSpec, `prompt` a PromptSpec. Paths as written."""
    path: Path
    """The file, as given."""
    folder: Path
    """Absolute folder of the file: relative paths in the spec are relative to it."""
    text: bytes
    """The file as it is."""
    lines: Lines
    """Where each value of the file is written."""


def load(path: Path, check_files: bool = True) -> Loaded:
    """Read and check a run spec. Raises SpecError with all problems, in the order of files and lines.

    `check_files=False` leaves out whether local inputs exist and what columns they have.
    """
    text = read_text_file(path, str(path), "sftjobs init NAME writes one to start from")
    tree = parse(text, str(path))
    folder = path.absolute().parent
    checked = _Check(path, folder, tree)
    spec = checked.run(check_files)
    if checked.problems or spec is None:
        raise SpecError(_ordered(checked.problems, str(path)))
    return Loaded(spec=spec, path=path, folder=folder, text=text, lines=tree.lines)


class _Check:
    """One load: collects problems."""

    def __init__(self, path: Path, folder: Path, tree: Tree) -> None:
        self._path = path
        self._folder = folder
        self._tree = tree
        self.problems: list[Problem] = list(tree.problems)
        self._wrong: set[tuple[str, str]] = set()

    def run(self, check_files: bool) -> RunSpec | None:
        raw = self._tree.value
        file = str(self._path)
        if not isinstance(raw, dict):
            what = "the file is empty" if raw is None else "the file is not a mapping of `key: value` lines"
            way_out = "sftjobs init NAME writes one to start from"
            self.problems.append(Problem(file, None, "", f"{what}; {way_out}"))
            return None
        raw = dict(raw)
        for name, key in (("model", "path"), ("store", "uri")):
            if isinstance(raw.setdefault(name, ".sftjobs") if name == "store" else raw.get(name), str):
                raw[name] = {key: raw[name]}
        source = Source(file, self._tree.lines)
        prompt_path = raw["prompt"] if isinstance(raw.get("prompt"), str) else None
        prompt, prompt_source = NO_PROMPT, None
        if prompt_path is not None:
            raw["prompt"] = NO_PROMPT
            prompt_file = self._read_prompt(prompt_path, source)
            if prompt_file is not None:
                prompt, prompt_source = prompt_file
        spec = self._validate(RunSpec, raw, source)
        if spec is None:
            return None
        if isinstance(spec.store, str):  # the default: what was written is wrong, and was taken out
            spec = spec.model_copy(update={"store": StoreSpec(uri=spec.store)})
        if prompt_path is not None:
            spec = spec.model_copy(update={"prompt": prompt})
        else:
            prompt_source = Source(file, self._tree.lines, ("prompt",))
        if "store" not in self._tree.value:
            spec.model_fields_set.discard("store")  # so that it is shown as a default
        assert isinstance(spec.prompt, PromptSpec)
        known = prompt_source is not None and not self._is_wrong(prompt_source, "output")
        output_format = spec.prompt.output.format if known else None
        written = Written(spec, self._folder, source, prompt_source, prompt_path, output_format)
        self._apply(written, check_files)
        return spec

    def _is_wrong(self, source: Source, key: str) -> bool:
        """True if something in the mapping `key` of `source` was taken out."""
        outer = dotted((*source.prefix, key))
        return any(file == source.file and _inside(path, outer) for file, path in self._wrong)

    def _read_prompt(self, name: str, source: Source) -> tuple[PromptSpec, Source] | None:
        """The prompt file; None, with the problems noted, if it cannot be used."""
        place = source.problem(("prompt",), "")
        if "://" in name:
            message = "the prompt is read on this machine; name a local file"
            self.problems.append(source.problem(("prompt",), message))
            return None
        shown = str(self._path.parent / name)
        try:
            text = read_text_file(absolute(self._folder, name), shown, "", place)
            tree = parse(text, shown)
        except SpecError as error:
            self.problems += error.problems
            return None
        self.problems += tree.problems
        if not isinstance(tree.value, dict):
            message = 'not a prompt: it needs at least `input: "Message: {{ text }}"`'
            self.problems.append(Problem(shown, None, "", message))
            return None
        prompt_source = Source(shown, tree.lines)
        prompt = self._validate(PromptSpec, tree.value, prompt_source)
        return None if prompt is None else (prompt, prompt_source)

    def _validate(self, model: type[M], raw: dict[str, Any], source: Source) -> M | None:
        """The typed value; with the wrong parts taken out (and noted) if that leaves a whole."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            explainer = Explainer(source.file, source.lines, model, source.prefix)
            self.problems += explainer.explain(error, raw)
        if explainer.missing:
            return None
        wrong = {_outside_lists(path) for path in explainer.wrong}
        try:
            rest = model.model_validate(_without(raw, wrong))
        except ValidationError:
            return None
        self._wrong |= {(source.file, dotted(source.prefix + path)) for path in wrong}
        return rest

    def _apply(self, written: Written, check_files: bool) -> None:
        """Note what the rules find, except what only follows from a part that was taken out."""
        for problem in rules.problems(written, check_files):
            wrong = [path for file, path in self._wrong if file == problem.file]
            if not any(_inside(path, problem.path) or _inside(problem.path, path) for path in wrong):
                self.problems.append(problem)


def _outside_lists(path: lines.Path) -> lines.Path:
    """The path, cut before the first list position: a list with a wrong item is taken out whole."""
    return next((path[:index] for index, part in enumerate(path) if isinstance(part, int)), path)


def _without(raw: dict[str, Any], wrong: Iterable[lines.Path]) -> dict[str, Any]:
    """A copy without the values at `wrong`."""
    rest: Any = copy.deepcopy(raw)
    for path in sorted(wrong, key=len, reverse=True):
        inner = rest
        for part in path[:-1]:
            inner = inner[part]
        inner.pop(path[-1], None)
    return dict(rest)


def _inside(path: str, outer: str) -> bool:
    """True if the dotted `path` is `outer` or a part of it."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _ordered(problems: list[Problem], first: str) -> list[Problem]:
    """By file (run.yaml first) and line; each once."""
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda p: (p.file != first, p.file, p.line or 0))
