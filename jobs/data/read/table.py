"""CSV and TSV: a header, then one record per row; a quoted field may hold line breaks."""

import csv
from collections.abc import Iterator

from jobs.data.problems import DataProblem, Report
from jobs.data.read.encoding import not_text, not_utf8
from jobs.data.read.lines import MAX_LINE, line_blocks
from jobs.data.read.records import Record, SourceFile
from sftjobs.spec.words import listed

csv.field_size_limit(MAX_LINE // 4)  # the module keeps 4 bytes per character
_SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'", ",": "a comma"}


def records(file: SourceFile, delimiter: str, report: Report) -> Iterator[Record]:
    """The rows as records. A row that is none is reported, and the next one is tried."""
    lines = _Lines(file, report)
    rows = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    end = 0
    while True:
        line = end + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            # over several lines it may have swallowed whole rows: that is never skipped
            kind = "csv" if rows.line_num <= line else "file"
            report(DataProblem(kind, file.name, line, None, _error_message(error)))
            row = []
        end = rows.line_num
        if row is None:
            return
        problem = lines.take_problem()
        if problem is not None:
            report(problem)
            if header is None:
                return
        elif not row:
            continue
        elif header is None:
            header = row
            if not _header_is_good(header, delimiter, file.name, line, report):
                return
        elif len(row) == len(header):
            yield Record(line, dict(zip(header, row, strict=True)))
        else:
            report(DataProblem("csv", file.name, line, None, _fields_message(row, header)))


class _Lines:
    """Decoded lines of a file, with their ends."""

    def __init__(self, file: SourceFile, report: Report) -> None:
        self._file = file
        self._report = report
        self._problem: DataProblem | None = None

    def take_problem(self) -> DataProblem | None:
        """What was wrong with a line since this was asked last."""
        problem, self._problem = self._problem, None
        return problem

    def __iter__(self) -> Iterator[str]:
        for number, line in _raw_lines(self._file, self._report):
            try:
                yield _decoded(number, line)
            except UnicodeDecodeError as error:
                self._problem = not_utf8(self._file.path, self._file.name, number, error)
                yield line.decode("utf-8", "replace")  # the row must not end elsewhere because of it


def text_lines(file: SourceFile, report: Report) -> Iterator[str]:
    """Lines with their ends. Raises UnicodeDecodeError."""
    return (_decoded(number, line) for number, line in _raw_lines(file, report))


def _raw_lines(file: SourceFile, report: Report) -> Iterator[tuple[int, bytes]]:
    for first, data in line_blocks(file.path, file.name, file.encoding, report):
        problem = not_text(file.name, data) if first == 1 else None
        if problem is not None:
            report(problem)
            return
        yield from enumerate(data.splitlines(keepends=True), start=first)


def _decoded(number: int, line: bytes) -> str:
    return line.decode("utf-8-sig" if number == 1 else "utf-8")


def _header_is_good(header: list[str], delimiter: str, name: str, line: int, report: Report) -> bool:
    twice = sorted({column for column in header if header.count(column) > 1})
    other = next((text for mark, text in _SEPARATORS.items() if len(header) == 1 and mark in header[0]), None)
    if twice:
        report(DataProblem("csv", name, line, None, f"the header has the column {twice[0]!r} twice; rename one"))
    elif other is not None:
        way_out = "set `format: tsv`" if other == "a tab" else f"save the file with {_SEPARATORS[delimiter]}"
        message = f"columns are separated by {_SEPARATORS[delimiter]}, and this header seems to use {other}; {way_out}"
        report(DataProblem("csv", name, line, None, message))
    return not twice and other is None


def _error_message(error: csv.Error) -> str:
    text = str(error)
    if "field limit" in text:
        return (
            f"not CSV: a field has more than {csv.field_size_limit() >> 20} Mi characters; is a closing quote missing?"
        )
    if "unexpected end" in text:
        return "not CSV: the quotes that open in this row never close; a quote inside a quoted field is written twice"
    return f"not CSV: {text}; a quote inside a quoted field is written twice"


def _fields_message(row: list[str], header: list[str]) -> str:
    hint = "a field with a comma needs quotes" if len(row) > len(header) else "every line needs all columns"
    return f"{len(row)} fields, but the header has {len(header)} columns ({listed(header, 'and')}); {hint}"
