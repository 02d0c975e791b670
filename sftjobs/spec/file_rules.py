"""Rules about the files that run.yaml names: formats, what exists, and whether the prompt fits the columns."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sftjobs.errors import DataError, Problem
from sftjobs.spec import lines
from sftjobs.spec.columns import first_columns, output_column
from sftjobs.spec.data import SourceSpec
from sftjobs.spec.formats import SUFFIXES, format_of
from sftjobs.spec.input_places import (
    CORRECTIONS,
    FLAGGED_WORDS,
    WAIVE,
    against_input,
    metric_input,
    places,
    value_at,
)
from sftjobs.spec.paths import absolute, missing
from sftjobs.spec.places import hub_data, is_local
from sftjobs.spec.source import Written
from sftjobs.spec.template import placeholders
from sftjobs.spec.words import listed, nearest

Problems = Iterator[Problem]
REPLACE_ME = "REPLACE-ME"
"""What `sftjobs init` writes where the user has to name a model."""
_HUB_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_CONVERSATIONS = {"messages", "conversations"}
_KNOWN_SHAPES = ({"instruction", "output"}, {"prompt", "completion"})
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True)
class DataFile:
    """One data file that the spec names."""

    where: lines.Path
    """Of the source."""
    path: str
    source: SourceSpec
    key: str = "path"
    """Key of the source that names the file."""

    @property
    def place(self) -> lines.Path:
        """Where the path is written."""
        return (*self.where, self.key)

    @property
    def held_out(self) -> bool:
        return self.key == "held_out" or self.where == ("data", "held_out")


def problems(written: Written, check_files: bool) -> Problems:
    """Everything that the rules find; what is on this machine is looked at only with `check_files`."""
    files = list(_data_files(written))
    for file in files:
        yield from data_path(file, written)
    yield from held_out_apart(files, written)
    yield from other_files(written, check_files)
    if check_files:
        yield from model_files(written)
        for file in files:
            yield from contents(file, written)


def _data_files(written: Written) -> Iterator[DataFile]:
    data = written.spec.data
    for name, task in data.tasks.items():
        yield DataFile(("data", "tasks", name), task.path, task)
        if task.held_out is not None:
            yield DataFile(("data", "tasks", name), task.held_out, task, "held_out")
    if data.general is not None:
        yield DataFile(("data", "general"), data.general.path, data.general)
    if data.held_out.path is not None:
        yield DataFile(("data", "held_out"), data.held_out.path, data.held_out)


def _absolute(path: str, written: Written) -> Path:
    return absolute(written.folder, path)


def data_path(file: DataFile, written: Written) -> Problems:
    """Where data can be, and in which format."""
    where = file.place
    problem = _place_problem(file.path)
    if problem is not None:
        yield written.run.problem(where, problem)
        return
    name = file.path.rstrip("/").rpartition("/")[2]
    folder = not Path(name).suffix or file.path.endswith("/") or hub_data(file.path) is not None
    local_folder = is_local(file.path) and _is_folder(_absolute(file.path, written))
    if file.source.format == "auto" and format_of(file.path) == "auto" and not folder and not local_folder:
        known = f"{listed(SUFFIXES, 'and')}, text also with .gz or .zst behind it"
        message = f"'{file.path[:120]}': {Path(name).suffix} is no format that can be read; supported: {known}"
        yield written.run.problem(where, f"{message}. With another name, set `format`")


def _place_problem(path: str) -> str | None:
    """Why data cannot be at `path`; None if it can."""
    scheme, separator, _ = path.partition("://")
    on_hub = hub_data(path)
    if on_hub is not None:
        good = _HUB_REPOSITORY.fullmatch(on_hub[0])
        return None if good else f"'{path[:80]}' is not hf://datasets/org/name or hf://datasets/org/name@revision"
    if scheme == "hf" and separator:
        return f"'{path[:80]}' is a model on the hub; a data set is hf://datasets/org/name@revision"
    if separator and scheme != "s3":
        return f"{scheme}:// is not supported; use a local path, s3://bucket/key or hf://datasets/org/name"
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def other_files(written: Written, check_files: bool) -> Problems:
    """Files beside the data: texts not to overlap, waived ids, corrections, flagged words, metrics."""
    found = places(written.spec)
    against = [against_input(i) for i in range(len(written.spec.data.decontaminate.against))]
    metrics = [metric_input(i) for i in range(len(written.spec.eval.metrics))]
    for name in (*against, WAIVE, CORRECTIONS, FLAGGED_WORDS, *metrics):
        if name not in found:
            continue
        path = str(value_at(written.spec, found[name]))
        problem = _place_problem(path)
        if problem is None and check_files and is_local(path) and not _exists(_absolute(path, written)):
            problem = f"{_shown(path, _absolute(path, written))}: {missing(_absolute(path, written))}"
        if problem is not None:
            yield written.run.problem(found[name], problem)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def held_out_apart(files: list[DataFile], written: Written) -> Problems:
    """What models are compared on is never trained on."""

    def place(path: str) -> str:
        return os.path.realpath(_absolute(path, written)) if is_local(path) else path

    for held_out in (file for file in files if file.held_out):
        for file in files:
            if not file.held_out and _same(place, file.path, held_out.path):
                also = ".".join(map(str, file.place))
                message = f"'{held_out.path}' is also {also}: held-out examples are never trained on"
                message += "; name another file, or set data.held_out to {fraction: 0.1}"
                yield written.run.problem(held_out.place, message)


def _same(place: object, one: str, other: str) -> bool:
    assert callable(place)
    try:
        return bool(place(one) == place(other))
    except (OSError, ValueError):
        return one == other


def model_files(written: Written) -> Problems:
    """A folder in Hugging Face format or a GGUF file."""
    name = written.model.path
    if name == REPLACE_ME:
        message = "name the base model here: a folder, a GGUF file, or hf://org/name@revision"
        yield written.run.problem(("model",), message)
        return
    if not is_local(name) or not name.strip():
        return
    path = _absolute(name, written)
    try:
        yield from _model(name, path, written)
    except (OSError, ValueError) as error:
        yield written.run.problem(("model",), f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _model(name: str, path: Path, written: Written) -> Problems:
    if not path.exists():
        hub = f"; for a model on the hub write hf://{name}" if name.count("/") == 1 and name[0] not in "./~" else ""
        yield written.run.problem(("model",), f"{_shown(name, path)}: {missing(path)}{hub}")
    elif path.is_dir():
        there = {entry.name for entry in path.iterdir()}
        if "config.json" not in there:
            message = f"{_shown(name, path)}: no config.json; a model folder is in Hugging Face format"
            yield written.run.problem(("model",), message)
        elif not there & set(_TOKENIZERS):
            message = f"{_shown(name, path)}: no tokenizer; save it there with tokenizer.save_pretrained(folder)"
            yield written.run.problem(("model",), message)
    else:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != b"GGUF":
            message = (
                f"{_shown(name, path)}: not a GGUF file; a model is a folder in Hugging Face format or a GGUF file"
            )
            yield written.run.problem(("model",), message)


def contents(file: DataFile, written: Written) -> Problems:
    """The file exists, can be read, and has the columns that the prompt asks for."""
    where = file.place
    if not is_local(file.path):
        return
    path = _absolute(file.path, written)
    shown = _shown(file.path, path)
    try:
        if not path.exists():
            yield written.run.problem(where, f"{shown}: {missing(path)}")
        elif path.is_file():
            form = format_of(file.path) if file.source.format == "auto" else file.source.format
            columns = first_columns(path, form, file.source.encoding)
            if columns is not None:
                yield from _fits(file, columns, written)
    except DataError as error:
        yield written.run.problem(where, f"{shown}: {error}")
    except (OSError, ValueError) as error:
        message = f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}"
        yield written.run.problem(where, message)


def _fits(file: DataFile, columns: list[str], written: Written) -> Problems:
    """The first record has the columns that prompt and `columns` ask for; other shapes are looked at with the data."""
    source = file.source
    ready = source.columns.messages in columns if source.columns.messages else bool(_CONVERSATIONS & set(columns))
    if written.prompt_source is None or ready or source.shape not in ("auto", "columns") or _has_shape(columns):
        return
    where = file.place
    for name in placeholders(written.prompt.input):
        column = source.columns.inputs.get(name, name)
        if not _there(column, columns):
            wanted = f"{{{{ {name} }}}} in input of {written.prompt_path or 'the prompt'}"
            yield written.run.problem(where, f"{file.path}: no column for {wanted}; {_known(column, columns)}")
    form = written.output_format
    output = source.columns.output if form is None else output_column(source.columns.output, form)
    wanted_columns = (("output", output), ("id", source.columns.id), ("difficulty", source.columns.difficulty))
    for field, wanted_column in wanted_columns:
        if wanted_column is not None and not _there(wanted_column, columns):
            given = getattr(source.columns, field) is not None
            place = (*file.where, "columns", field) if given else where
            text = f"{file.path}: no column '{wanted_column}'; {_known(wanted_column, columns)}"
            way_out = "" if given else "; columns: {output: NAME} names the one with the expected answer"
            yield written.run.problem(place, text + way_out)


def _has_shape(columns: list[str]) -> bool:
    """The columns are those of a known shape of instruction data, which needs no placeholder of the prompt file."""
    return any(shape <= set(columns) for shape in _KNOWN_SHAPES)


def _there(column: str, columns: list[str]) -> bool:
    """A dotted path may reach into a nested column, of which only the first part is known here."""
    return column in columns or column.partition(".")[0] in columns


def _known(name: str, columns: list[str]) -> str:
    meant = nearest(name, columns)
    more = ", ..." if len(columns) > 12 else ""
    known = f"the columns are {', '.join(columns[:12])}{more}" if columns else "the first record has no columns"
    return f"did you mean {meant}? {known}" if meant else known


def _shown(name: str, path: Path) -> str:
    """The path as written, and where that is."""
    return name if Path(name) == path else f"{name} ({path})"
