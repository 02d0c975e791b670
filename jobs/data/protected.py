"""What no training example may overlap: the held-out set, the dev set, and texts that the user names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jobs.data.examples import is_question, question, question_text, text_question, whole_question
from jobs.data.helpers import InputFile, list_lines
from jobs.data.likeness import Likeness
from jobs.data.near import NGramIndex, bands_of
from jobs.data.problems import DataProblem, Report
from jobs.data.read import SourceFile, read_records
from jobs.data.read.table import text_lines
from jobs.data.table import SIDES, Array, Side, Table
from jobs.lm.fit import without_oldest
from sftjobs.errors import DataError
from sftjobs.plan.configs import DataConfig
from sftjobs.spec.formats import format_of
from sftjobs.spec.words import shortened

_MOST_TEXTS = 1_000_000


@dataclass(frozen=True)
class Protected:
    """Texts of the files in `data.decontaminate.against`."""

    texts: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """`file:line` of each."""
    bands: Array = field(default_factory=lambda: np.zeros((0, 1), np.uint64))


def read_protected(config: DataConfig, files: Mapping[str, InputFile], report: Report) -> Protected:
    """All texts of the named files: every value of a record that is a text of some length."""
    texts: list[str] = []
    places: list[str] = []
    for name in config.decontaminate.against:
        for text, place in _texts_of(files[name], report):
            texts.append(text)
            places.append(place)
        if len(texts) > _MOST_TEXTS:
            raise DataError(f"data.decontaminate.against: more than {_MOST_TEXTS:,} texts; name smaller files")
    return Protected(texts, places, bands_of(texts, config.duplicates.threshold))


def _texts_of(given: InputFile, report: Report) -> Iterator[tuple[str, str]]:
    """Texts with their places: lines of a text file, values of the records of a file, or of all files of a folder."""
    if given.path.name.removesuffix(".gz").removesuffix(".zst").endswith(".txt"):
        yield from _lines_of(given, report)
        return
    files = sorted(path for path in given.path.rglob("*") if path.is_file()) if given.path.is_dir() else [given.path]
    for path in files:
        if given.path.is_dir() and format_of(path.name) == "auto":
            continue  # of a folder every split counts; what is no data does not
        name = f"{given.name}/{path.relative_to(given.path)}" if given.path.is_dir() else given.name
        for record in read_records(SourceFile(path, name), report):
            for text in filter(is_question, _strings(record.values)):  # ids, labels and numbers are no texts
                yield text, f"{name}:{record.line}"


def _lines_of(given: InputFile, report: Report) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        for number, line in enumerate(text_lines(SourceFile(given.path, given.name), report), start=1):
            if line.strip():
                yield line.strip(), f"{given.name}:{number}"
    except UnicodeDecodeError as error:
        message = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        report(DataProblem("encoding", given.name, number + 1, None, message))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


@dataclass(frozen=True)
class Guards:
    """Texts of the n-gram index, and where each comes from."""

    rows: Array
    """Rows of the first texts, the others are protected ones."""
    texts: list[str]

    def place(self, text: int, protected: Protected) -> str:
        """For the reason: where a protected text stands; empty for one of the table."""
        return "" if text < len(self.rows) else f" with {protected.places[text - len(self.rows)]}"


def guards(table: Table, side: Side, protected: Protected) -> Guards:
    """Questions of a side, each text once (copies would look like a template), then the protected texts."""
    first: dict[str, int] = {}
    rows = np.flatnonzero(table["side"] == SIDES.index(side))
    for row, (example, _) in zip(rows.tolist(), table.examples(rows), strict=True):
        first.setdefault(question_text(example), row)
    return Guards(np.array(list(first.values()), np.int64), [*first, *protected.texts])


def drop_overlaps(table: Table, likeness: Likeness, protected: Protected, waived: Sequence[str]) -> None:
    """Drop training examples of which a turn asks, exactly or nearly, what is protected. The dev set is guarded too."""
    free = _waived(table, waived)
    _drop_exact(table, protected, free)
    _drop_near(table, likeness, free)


Matches = Mapping[int, tuple[int, str]]
"""Row -> (text of the index, passage)."""


def drop_matches(table: Table, matches: Matches, guarding: Guards, protected: Protected, waived: Sequence[str]) -> None:
    """Drop examples that share a long passage with a text of the index."""
    free = _waived(table, waived)
    for row, (text, passage) in matches.items():
        if free[row]:
            continue
        one = np.array([row])
        inside = text < len(guarding.rows)
        table.drop(one, "held_out_ngram", guarding.rows[text : text + 1] if inside else None)
        where = guarding.place(text, protected)
        table.note(row, "held_out_ngram", f"shares{where} the passage '{shortened(passage, 80)}'")


def after_truncation(table: Table, protected: Protected, waived: Sequence[str]) -> None:
    """Look once more at examples that lost turns: what is left may ask what another one asks."""
    rows = np.flatnonzero(table.removed_turns > 0)
    for row, (example, _) in zip(rows.tolist(), table.examples(rows), strict=True):
        left = replace(example, messages=without_oldest(example.messages, int(table.removed_turns[row])))
        table["question"][row] = bytes.fromhex(question(left))
        table["whole"][row] = bytes.fromhex(whole_question(left))
    if len(rows):
        _drop_exact(table, protected, _waived(table, waived))


def ngram_index(texts: Sequence[str], config: DataConfig) -> NGramIndex:
    """The index of long passages."""
    return NGramIndex(texts, words=config.decontaminate.words, characters=config.decontaminate.characters)


def _waived(table: Table, waived: Sequence[str]) -> Array:
    ids = np.array([bytes.fromhex(one) for one in waived], "S32")
    return np.isin(table["id"], ids)


_GUARDS: tuple[tuple[Side, tuple[Side, ...]], ...] = (("dev", ("held_out",)), ("train", ("held_out", "dev")))
"""Side -> sides whose questions it must not have."""


def _rows_of(table: Table, sides: Sequence[Side]) -> Array:
    """Rows of several sides, what rules dropped included."""
    return np.flatnonzero(np.isin(table["side"], [SIDES.index(side) for side in sides]))


def _drop_exact(table: Table, protected: Protected, free: Array) -> None:
    named = np.array([bytes.fromhex(text_question(text)) for text in protected.texts], "S32")
    for guarded, sides in _GUARDS:
        guarding = _rows_of(table, sides)
        asked = np.concatenate([table["question"][guarding], table["whole"][guarding], named])
        hit = np.isin(table["question"], asked) | np.isin(table["whole"], asked)
        hit[table.earlier_rows[np.isin(table.earlier, asked)]] = True
        rows = np.flatnonzero(hit & ~free & table.is_kept(guarded))
        table.drop(rows, "held_out_exact", _first_with(table, rows, guarding))


def _first_with(table: Table, rows: Array, guards: Array) -> Array:
    """For each row a guard with its question; -1 where only an earlier turn or a named text has it."""
    order = guards[np.argsort(table["question"][guards], kind="stable")]
    keys = table["question"][order]
    at = np.minimum(np.searchsorted(keys, table["question"][rows]), max(0, len(keys) - 1))
    return np.where(keys[at] == table["question"][rows], order[at], -1) if len(keys) else np.full(len(rows), -1)


def _drop_near(table: Table, likeness: Likeness, free: Array) -> None:
    """The held-out set and named texts guard training and dev set, the dev set guards training."""
    n = len(table)
    named = likeness.leader[n:]
    for guarded, sides in _GUARDS:
        rows = _rows_of(table, sides)
        guard_of = dict(zip(named.tolist(), [-1] * len(named), strict=True))
        guard_of |= dict(zip(likeness.leader[rows][::-1].tolist(), rows[::-1].tolist(), strict=True))
        for leader, guard in list(guard_of.items()):
            for other in likeness.alike.get(leader, ()):
                guard_of.setdefault(other, guard)
        found = table.kept(guarded)
        found = found[~free[found]]
        hit = found[np.isin(likeness.leader[found], np.array(list(guard_of), np.int64))]
        table.drop(
            hit, "held_out_near", np.array([guard_of[leader] for leader in likeness.leader[hit].tolist()], np.int64)
        )


def waived_ids(path: InputFile | None) -> list[str]:
    """Ids of a waiver list, one per line; what stands behind the id, or behind #, is a comment. Raises DataError."""
    if path is None:
        return []
    found = []
    for number, line in enumerate(list_lines(path.path, path.name), start=1):
        text = line.split("#")[0].split()
        if not text:
            continue
        if len(text[0]) != 64 or set(text[0]) - set("0123456789abcdef"):
            what = f"{text[0][:40]!r} is no id of an example (64 hex digits, as in the ledger)"
            raise DataError(f"{path.name}:{number}: {what}")
        found.append(text[0])
    return found
