"""What a worker does with a piece of a source: records -> examples, cleaned and looked at one by one."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.data.checks import Checks, Mender, view_of
from jobs.data.clean import View
from jobs.data.examples import (
    Example,
    earlier_questions,
    question,
    single_turns,
    whole_question,
)
from jobs.data.near import bands_of
from jobs.data.problems import DataProblem
from jobs.data.prompt import Made, Prompt, RecordError
from jobs.data.read import Block, Record, parse
from jobs.data.review import Correction
from jobs.data.rules import CODES, KEPT
from jobs.data.shapes import Shape
from jobs.data.spool import Finding, encode
from jobs.data.table import LANGUAGES, SIDES, Chunk, Side, columns_of
from sftjobs.plan.configs import DataConfig, SourceConfig


@dataclass(frozen=True)
class OpenSource:
    """One source of records, looked at once."""

    task: str
    config: SourceConfig
    side: Side
    name: str
    """How messages call it."""
    digest: str
    shape: Shape
    free: bool
    """General data: a ready conversation may say anything."""


@dataclass(frozen=True)
class Piece:
    """Work: a block of a source."""

    source: int
    block: Block


@dataclass
class Result:
    """What became of a piece."""

    chunk: Chunk
    problems: list[DataProblem]
    source: int


@dataclass(frozen=True)
class Setup:
    """All that a worker needs; sent to its process once."""

    config: DataConfig
    sources: list[OpenSource]
    tasks: list[str]
    special_tokens: list[str]
    flagged_words: list[str]
    corrections: Mapping[str, Correction]

    def __call__(self) -> Callable[[Piece], Result]:
        return Maker(self)


class Maker:
    """Makes examples of the records of a piece."""

    def __init__(self, setup: Setup) -> None:
        config = setup.config
        self._setup = setup
        self._mender = Mender(config.clean)
        self._prompt = Prompt(config.ordered_prompt, config.clean.label == "fix", self._mender)
        self._checks = Checks(config, setup.special_tokens, setup.flagged_words)
        self._labels = {label: code for code, label in enumerate(config.ordered_prompt.labels)}
        self._threshold = config.duplicates.threshold

    def __call__(self, piece: Piece) -> Result:
        source = self._setup.sources[piece.source]
        made = _Made()
        for record in parse(piece.block, made.problems.append):
            shape: Shape = "messages" if self._is_ready(record, source) else source.shape
            try:
                one = self._prompt.example(record, source.task, source.config, shape, source.digest, source.free)
            except RecordError as error:
                made.problems.append(DataProblem(error.kind, source.name, record.line, None, str(error)))
                continue
            except UnicodeEncodeError as error:
                message = f"half of a surrogate pair, {error.object[error.start : error.end]!r}, is no character; "
                message += "set data.clean.unicode: fix, or remove it"
                made.problems.append(DataProblem("text", source.name, record.line, None, message))
                continue
            one, correction = self._correct(one, source.free)
            view = view_of(one.example, self._setup.config.prompt.output.format)
            found = self._found(one, view, correction)
            stop = next((finding for finding in found if self._checks.action(finding.rule) == "stop"), None)
            if stop is not None:
                kind = "label" if stop.rule == "label" else "answer"
                made.problems.append(DataProblem(kind, source.name, record.line, None, stop.reason))
                continue
            row = self._row(one, found, view, piece.source)
            row["decided"] = correction is not None
            made.add(one.example, found, row, view.question)
        return Result(made.chunk(self._threshold), made.problems, piece.source)

    @staticmethod
    def _is_ready(record: Record, source: OpenSource) -> bool:
        """Ready conversations may stand among records of columns: bad cases of an earlier round, for example."""
        open_ = source.config.shape == "auto" and source.shape == "columns"
        return open_ and record.values.get("messages") is not None

    def _correct(self, one: Made, free: bool) -> tuple[Made, Correction | None]:
        """With the answer that a person gave in the review sheet."""
        correction = self._setup.corrections.get(one.example.id)
        if correction is not None and correction.answer is not None:
            one = self._prompt.corrected(one.example, correction.answer, free)
        return one, correction

    def _found(self, one: Made, view: View, correction: Correction | None) -> list[Finding]:
        """What the rules say; a person's word counts more than a rule's."""
        if correction is not None and correction.decision == "drop":
            return [Finding("review", correction.note or "a person dropped it in the review sheet", dropped=True)]
        found = [] if one.fault is None else [self._checks.finding(*one.fault)]
        found = [finding for finding in found if finding is not None]
        if correction is not None:  # kept or corrected: only what makes it unusable still counts
            return found
        return found + self._checks.findings(view)

    def _row(self, one: Made, found: list[Finding], view: View, source: int) -> dict[str, Any]:
        """The columns of one record."""
        example = one.example
        dropped = next((finding.rule for finding in found if finding.dropped), None)
        flags = sum(1 << CODES[name] for name in {finding.rule for finding in found if not finding.dropped})
        opened = self._setup.sources[source]
        return {
            "source": source,
            "line": example.source.line,
            "offset": 0,
            "length": 0,
            "id": bytes.fromhex(example.id),
            "question": bytes.fromhex(question(example)),
            "whole": bytes.fromhex(whole_question(example)),
            "answer": text_hash(example.answer),
            "user_id": 0 if example.user_id is None else text_hash(example.user_id) | 1,
            "task": self._setup.tasks.index(example.task),
            "side": SIDES.index(opened.side),
            "rule": KEPT if dropped is None else CODES[dropped],
            "flags": flags,
            "label": self._labels.get(example.label or "", -1),
            "difficulty": -1,
            "language": LANGUAGES.index(view.answer_language),
            "question_characters": len(view.question),
            "answer_characters": len(example.answer),
            "repaired": one.mended,
        }


class _Made:
    """Examples of a piece, on their way into a chunk."""

    def __init__(self) -> None:
        self.problems: list[DataProblem] = []
        self._rows: list[dict[str, Any]] = []
        self._lines: list[bytes] = []
        self._texts: list[str] = []
        self._earlier: list[tuple[int, bytes]] = []
        self._difficulties: dict[str, int] = {}

    def add(self, example: Example, found: list[Finding], row: dict[str, Any], text: str) -> None:
        line = encode(example, found)
        row["length"] = len(line)
        if example.difficulty is not None:
            row["difficulty"] = self._difficulties.setdefault(example.difficulty, len(self._difficulties))
        asked = [*earlier_questions(example), *single_turns(example)]
        self._earlier += [(len(self._rows), bytes.fromhex(one)) for one in asked]
        self._rows.append(row)
        self._lines.append(line)
        self._texts.append(text)

    def chunk(self, threshold: float) -> Chunk:
        columns = columns_of(self._rows)
        ends = np.cumsum(columns["length"], dtype=np.int64)
        columns["offset"] = ends - columns["length"]
        bands = bands_of(self._texts, threshold)
        return Chunk(columns, b"".join(self._lines), bands, self._earlier, list(self._difficulties))


def text_hash(text: str) -> int:
    """64 bits of a text."""
    head = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(head, "little")
