"""Rules about the files that run.yaml names: formats, what exists, and whether the prompt fits the columns."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sftjobs.errors import DataError, Problem
from sftjobs.spec import lines
from sftjobs.spec.columns import FORMATS, first_columns, output_column
from sftjobs.spec.paths import absolute, missing
from sftjobs.spec.places import is_local
from sftjobs.spec.run import ColumnMap
from sftjobs.spec.source import Written
from sftjobs.spec.template import placeholders
from sftjobs.spec.words import listed, nearest

Problems = Iterator[Problem]
REPLACE_ME = "REPLACE-ME"
"""What `sftjobs init` writes where the user has to name a model."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True)
class DataFile:
    """One data file that the spec names."""

    where: lines.Path
    path: str
    columns: ColumnMap


def problems(written: Written, check_files: bool) -> Problems:
    """Everything that the rules find; what is on this machine is looked at only with `check_files`."""
    files = list(_data_files(written))
    for file in files:
        yield from data_path(file, written)
    yield from held_out_apart(files, written)
    if check_files:
        yield from model_files(written)
        for file in files:
            yield from contents(file, written)


def _data_files(written: Written) -> Iterator[DataFile]:
    data = written.spec.data
    for name, task in data.tasks.items():
        yield DataFile(("data", "tasks", name), task.path, task.columns)
    if data.general is not None:
        yield DataFile(("data", "general"), data.general.path, data.general.columns)
    if data.held_out.path is not None:
        yield DataFile(("data", "held_out"), data.held_out.path, data.held_out.columns)


def _absolute(path: str, written: Written) -> Path:
    return absolute(written.folder, path)


def data_path(file: DataFile, written: Written) -> Problems:
    """Where data can be, and in which format."""
    scheme, separator, _ = file.path.partition("://")
    where = (*file.where, "path")
    if separator and scheme != "s3":
        message = f"{scheme}:// is not supported; use a local path or s3://bucket/key"
        yield written.run.problem(where, message)
    elif not file.path.endswith(FORMATS):
        name = file.path.rpartition("/")[2]
        suffix = f"{Path(name).suffix} is not a format" if Path(name).suffix else "the name has no suffix"
        message = f"'{file.path[:120]}': {suffix} that can be read; supported: {listed(FORMATS, 'and')}"
        message = message.replace("no suffix that can be read", "no suffix that says its format")
        yield written.run.problem(where, message)


def held_out_apart(files: list[DataFile], written: Written) -> Problems:
    """What models are compared on is never trained on."""
    held_out = written.spec.data.held_out.path
    if held_out is None:
        return

    def place(path: str) -> str:
        return os.path.realpath(_absolute(path, written)) if is_local(path) else path

    for file in files:
        if file.where != ("data", "held_out") and _same(place, file.path, held_out):
            message = (
                f"'{held_out}' is also {'.'.join(map(str, file.where))}.path: held-out examples are never trained on"
            )
            message += "; name another file, or set data.held_out to {fraction: 0.1}"
            yield written.run.problem(("data", "held_out", "path"), message)


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
    where = (*file.where, "path")
    if not is_local(file.path):
        return
    path = _absolute(file.path, written)
    shown = _shown(file.path, path)
    try:
        if not path.exists():
            yield written.run.problem(where, f"{shown}: {missing(path)}")
        elif not path.is_file():
            yield written.run.problem(where, f"{shown}: a folder, not a file; name a file ending in {listed(FORMATS)}")
        elif file.path.endswith(FORMATS):
            yield from _fits(file, first_columns(path), written)
    except DataError as error:
        yield written.run.problem(where, f"{shown}: {error}")
    except (OSError, ValueError) as error:
        message = f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}"
        yield written.run.problem(where, message)


def _fits(file: DataFile, columns: list[str], written: Written) -> Problems:
    if written.prompt_source is None or "messages" in columns:
        return  # nothing to fit to, or a conversation that is ready already
    where = (*file.where, "path")
    for name in placeholders(written.prompt.input):
        if name not in columns:
            wanted = f"{{{{ {name} }}}} in input of {written.prompt_path or 'the prompt'}"
            yield written.run.problem(where, f"{file.path}: no column for {wanted}; {_known(name, columns)}")
    form = written.output_format
    output = file.columns.output if form is None else output_column(file.columns.output, form)
    for field, column in (("output", output), ("id", file.columns.id)):
        if column is not None and column not in columns:
            given = getattr(file.columns, field) is not None
            place = (*file.where, "columns", field) if given else where
            text = f"{file.path}: no column '{column}'; {_known(column, columns)}"
            way_out = "" if given else "; columns: {output: NAME} names the one with the expected answer"
            yield written.run.problem(place, text + way_out)


def _known(name: str, columns: list[str]) -> str:
    meant = nearest(name, columns)
    more = ", ..." if len(columns) > 12 else ""
    known = f"the columns are {', '.join(columns[:12])}{more}" if columns else "the first record has no columns"
    return f"did you mean {meant}? {known}" if meant else known


def _shown(name: str, path: Path) -> str:
    """The path as written, and where that is."""
    return name if Path(name) == path else f"{name} ({path})"
