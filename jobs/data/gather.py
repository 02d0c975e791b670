"""Read all input files into examples; every mistake is collected, every record counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.data.ledger import Entry, Side
from jobs.data.problems import DataProblem, Problems
from jobs.data.prompt import Prompt, RecordError
from jobs.data.read import SourceFile, file_digest, read_records
from sftjobs.plan.configs import DataConfig, SourceConfig

GENERAL = "general"
HELD_OUT = "held_out"
_PROGRESS_EVERY = 1000

Progress = Callable[[str, int, int | None], None]
"""Phase, how many, of how many (None: not known)."""


@dataclass(frozen=True)
class InputFile:
    """Where an input is, and what messages call it."""

    path: Path
    name: str


def gather(
    config: DataConfig, files: Mapping[str, InputFile], problems: Problems, progress: Progress, limit: int | None = None
) -> list[Entry]:
    """One entry per record, in the order of tasks by name, general, held-out, and in the order of the file.

    `files` is by input name. `limit`: read at most so many records of each file.
    """
    prompt = Prompt(config.ordered_prompt)
    entries: list[Entry] = []
    for task, source, side in sources(config):
        given = files[source.input]
        file = SourceFile(given.path, given.name, source.format)
        digest = file_digest(given.path)
        for i, record in enumerate(read_records(file, problems.add)):
            if i == limit:
                break
            try:
                example = prompt.example(record, task, source, digest, free=task == GENERAL)
            except RecordError as error:
                problems.add(DataProblem(error.kind, file.name, record.line, None, str(error)))
                continue
            entries.append(Entry(example, side))
            if len(entries) % _PROGRESS_EVERY == 0:
                progress("read", len(entries), None)
    progress("read", len(entries), len(entries))
    return entries


def sources(config: DataConfig) -> list[tuple[str, SourceConfig, Side]]:
    """Task, source and side of every input file. By name: the order in run.yaml does not change the result."""
    found: list[tuple[str, SourceConfig, Side]] = [(task, config.tasks[task], "train") for task in sorted(config.tasks)]
    if config.general is not None:
        found.append((GENERAL, config.general, "train"))
    if config.held_out is not None:
        only = next(iter(config.tasks)) if len(config.tasks) == 1 else HELD_OUT
        found.append((only, config.held_out, "held_out"))
    return found
