"""What `sftjobs init NAME` writes: a run that can be checked at once, with sample data to replace."""

import json
import os
import re
from importlib import resources
from pathlib import Path

from sftjobs import names
from sftjobs.errors import Problem, SpecError
from sftjobs.spec import schema
from sftjobs.spec.file_rules import REPLACE_ME

_README = """\
# @NAME@

A run of sftjobs: sort support tickets under four labels. The tickets are made up; put your own in their place.

    run.yaml               what the run does; every key has a comment
    prompts/@NAME@.yaml    the prompt in three parts, and the labels
    data/train.jsonl       32 training examples, one per line
    data/held_out.jsonl    16 examples that are never trained on
    .schema/               what editors need to complete and check the two YAML files

First name the base model in run.yaml (`model:`). Then:

    sftjobs check run.yaml     every mistake at once, and what will be trained, token by token
    sftjobs plan run.yaml      the stages, what is cached, and the numbers that follow
    sftjobs run run.yaml       data, training, evaluation; ends with a table and report.html
    sftjobs pull @NAME@ model out/     the tuned model

32 examples show that everything works; they do not show that tuning helps. A few hundred, checked by a person, do.
"""


def create(target: Path, name: str, model: str | None = None) -> list[Path]:
    """Write the files of a new run into the folder `target`, and return them.

    A `model` that is there as seen from the current folder is written as seen from `target`.
    Raises SpecError, before anything is written, if `name` cannot name a run or a file is there already.
    """
    if not names.is_run_name(name):
        raise SpecError([Problem("init", None, "", f"'{name}' cannot name a run: {names.RUN_NAME_RULE}")])
    files = {target / relative: text for relative, text in contents(name, _from(target, model)).items()}
    _refuse_existing(target, list(files))
    written: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            written.append(path)
    except OSError as error:
        there = f"; already written: {', '.join(map(str, written))}" if written else ""
        message = f"cannot be written: {error.strerror}{there}"
        raise SpecError([Problem(str(error.filename or target), None, "", message)]) from None
    return written


def contents(name: str, model: str | None = None) -> dict[str, str]:
    """Relative path -> text of every file of a new run."""

    def template(file: str) -> str:
        text = resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
        return text.replace("@NAME@", name).replace("@MODEL@", _scalar(model or REPLACE_ME))

    return {
        "run.yaml": template("run.yaml"),
        f"prompts/{name}.yaml": template("prompt.yaml"),
        "data/train.jsonl": template("train.jsonl"),
        "data/held_out.jsonl": template("held_out.jsonl"),
        "README.md": _README.replace("@NAME@", name),
        ".schema/run.schema.json": schema.run_schema(),
        ".schema/prompt.schema.json": schema.prompt_schema(),
    }


def _from(target: Path, model: str | None) -> str | None:
    """A path on the command line is from the current folder, one in run.yaml from the folder of run.yaml."""
    if model is None or "://" in model or Path(model).is_absolute() or not Path(model).exists():
        return model
    if target.resolve() != target.absolute():
        return str(Path(model).absolute())  # `..` leads elsewhere from the other end of a link
    return os.path.relpath(model, target)


def _refuse_existing(target: Path, files: list[Path]) -> None:
    """Nothing that exists is overwritten."""
    if target.exists() and not target.is_dir():
        raise SpecError([Problem(str(target), None, "", "is a file; give the name of a folder with --folder")])
    there = [path for path in files if path.exists() or path.is_symlink()]
    if there:
        way_out = "nothing was written; move it away or choose another folder with --folder"
        raise SpecError([Problem(str(path), None, "", f"exists already; {way_out}") for path in there])


def _scalar(text: str) -> str:
    """The text as a YAML value: as it is where that is safe, else in quotes."""
    return text if re.fullmatch(r"[A-Za-z/.~][\w/.@+-]*(://[\w/.@+-]+)?", text) else json.dumps(text)
