"""`load`: run.yaml -> Loaded, or one SpecError with everything that is wrong with it.

Notation, shape (`RunSpec`), cross-field rules and local files are looked at in one go: what is wrong in one part is
taken out, so that the rest can still be checked. Inputs on S3 or a hub are not touched.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftjobs.errors import Problem, SpecError
from sftjobs.spec import rules
from sftjobs.spec.lines import Lines, dotted
from sftjobs.spec.paths import absolute, read_text_file
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import RunSpec, StoreSpec
from sftjobs.spec.salvage import Salvage
from sftjobs.spec.source import Source, Written
from sftjobs.spec.words import describe
from sftjobs.spec.yaml_tree import Tree, parse

DEFAULT_STORE = RunSpec.model_fields["store"].default
_WAY_OUT = "sftjobs init NAME writes one to start from"
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
    prompt_source: Source
    """Where the prompt is written: a file of its own, or a part of this one."""


def load(path: Path, check_files: bool = True) -> Loaded:
    """Read and check a run spec. Raises SpecError with all problems, in the order of files and lines.

    `check_files=False` leaves out whether local inputs exist and what columns they have.
    """
    text = read_text_file(path, str(path), _WAY_OUT)
    tree = parse(text, str(path))
    folder = path.absolute().parent
    checked = _Check(path, folder, tree)
    spec = checked.run(check_files)
    if checked.problems or spec is None:
        raise SpecError(_ordered(checked.problems, str(path)))
    assert checked.prompt_source is not None, "a spec without problems has a prompt"
    return Loaded(spec, path, folder, text, tree.lines, checked.prompt_source)


class _Check:
    """One load: collects problems."""

    def __init__(self, path: Path, folder: Path, tree: Tree) -> None:
        self._path = path
        self._folder = folder
        self._source = Source(str(path), tree.lines)
        self._written = tree.value
        self._salvage = Salvage()
        self.problems: list[Problem] = self._salvage.problems
        self.problems += tree.problems
        self.prompt_source: Source | None = None

    def run(self, check_files: bool) -> RunSpec | None:
        """The spec; not to be used if there are problems."""
        if not isinstance(self._written, dict):
            empty = self._written is None
            what = "the file is empty" if empty else "the file is not a mapping of `key: value` lines"
            self.problems.append(Problem(str(self._path), None, "", f"{what}; {_WAY_OUT}"))
            return None
        raw = _long_forms(self._written)
        prompt_path = raw["prompt"] if isinstance(raw.get("prompt"), str) else None
        prompt, source = self._prompt(raw, prompt_path)
        raw["prompt"] = prompt
        self.prompt_source = source
        spec = self._salvage.validate(RunSpec, raw, self._source)
        if spec is None:
            return None
        if isinstance(spec.store, str):  # the default: what was written is wrong, and was taken out
            spec = spec.model_copy(update={"store": StoreSpec(uri=spec.store)})
        if "store" not in self._written:
            spec.model_fields_set.discard("store")  # so that it is shown as a default
        known = source is not None and not self._salvage.touches(source.file, dotted((*source.prefix, "output")))
        output_format = prompt.output.format if known else None
        self._apply(Written(spec, self._folder, self._source, source, prompt_path, output_format), check_files)
        return spec

    def _prompt(self, raw: dict[str, Any], path: str | None) -> tuple[PromptSpec, Source | None]:
        """The prompt and where it was written; a stand-in and None, with the problems noted, if it cannot be used."""
        if path is not None:
            value, source = self._read_prompt(path)
        else:
            value, source = raw.get("prompt"), Source(self._source.file, self._source.lines, ("prompt",))
            if not isinstance(value, dict):
                example = "write for example `prompt: prompts/tickets.yaml`"
                what = "required, and missing" if value is None else f"{describe(value)}; expected the path of a file"
                self.problems.append(self._source.problem(("prompt",), f"{what}; {example}"))
                return NO_PROMPT, None
        prompt = None if value is None else self._salvage.validate(PromptSpec, value, source)
        return (NO_PROMPT, None) if prompt is None else (prompt, source)

    def _read_prompt(self, name: str) -> tuple[dict[str, Any] | None, Source]:
        """Content of the prompt file; None, with the problems noted, if there is none."""
        place = self._source.problem(("prompt",), "the prompt is read on this machine; name a local file")
        if "://" in name:
            self.problems.append(place)
            return None, self._source
        shown = str(self._path.parent / name)
        try:
            text = read_text_file(absolute(self._folder, name), shown, "", place)
            tree = parse(text, shown)
        except SpecError as error:
            self.problems += error.problems
            return None, self._source
        self.problems += tree.problems
        if not isinstance(tree.value, dict):
            message = 'not a prompt: it needs at least `input: "Message: {{ text }}"`'
            self.problems.append(Problem(shown, None, "", message))
            return None, self._source
        return tree.value, Source(shown, tree.lines)

    def _apply(self, written: Written, check_files: bool) -> None:
        """Note what the rules find, except what only follows from a part that was taken out."""
        for problem in rules.problems(written, check_files):
            if not self._salvage.touches(problem.file, problem.path):
                self.problems.append(problem)


def _long_forms(written: dict[str, Any]) -> dict[str, Any]:
    """`model: path` and `store: uri` as mappings."""
    raw = {"store": DEFAULT_STORE, **written}
    for name, key in (("model", "path"), ("store", "uri")):
        if isinstance(raw.get(name), str):
            raw[name] = {key: raw[name]}
    return raw


def _ordered(problems: list[Problem], first: str) -> list[Problem]:
    """By file (run.yaml first) and line; each once."""
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda p: (p.file != first, p.file, p.line or 0))
