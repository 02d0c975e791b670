"""CSV and TSV: a header, then one record per row; a quoted field may hold line breaks."""

import csv
from collections.abc import Iterator

from jobs.data.problems import DataProblem, Report
from jobs.data.read.encoding import not_utf8, utf16_problem
from jobs.data.read.lines import MAX_LINE, line_blocks
from jobs.data.read.records import Record, SourceFile
from sftjobs.spec.words import listed

csv.field_size_limit(MAX_LINE)


def records(file: SourceFile, delimiter: str, report: Report) -> Iterator[Record]:
    """The rows as records; reading ends where the file is no longer a table."""
    rows = csv.reader(text_lines(file, report), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    begin = 1
    try:
        for row in rows:
            line, begin = begin, rows.line_num + 1
            if not row:
                continue
            if header is None:
                header = row
                if not _header_is_good(header, file.name, line, report):
                    return
            elif len(row) == len(header):
                yield Record(line, dict(zip(header, row, strict=True)))
            else:
                report(DataProblem("csv", file.name, line, None, _fields_message(row, header)))
    except csv.Error as error:
        message = f"not CSV: {error}; a quote inside a quoted field is written twice"
        report(DataProblem("csv", file.name, begin, None, message))
    except UnicodeDecodeError as error:
        report(not_utf8(file.path, file.name, rows.line_num + 1, error))


def text_lines(file: SourceFile, report: Report) -> Iterator[str]:
    """Lines with their ends. Raises UnicodeDecodeError."""
    for number, data in line_blocks(file.path, file.name, file.encoding, report):
        if number == 1:
            problem = utf16_problem(file.path, file.name, data)
            if problem is not None:
                report(problem)
                return
        for i, line in enumerate(data.splitlines(keepends=True)):
            yield line.decode("utf-8-sig" if number + i == 1 else "utf-8")


def _header_is_good(header: list[str], name: str, line: int, report: Report) -> bool:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        report(DataProblem("csv", name, line, None, f"the header has the column {twice[0]!r} twice; rename one"))
    return not twice


def _fields_message(row: list[str], header: list[str]) -> str:
    hint = "a field with a comma needs quotes" if len(row) > len(header) else "every line needs all columns"
    return f"{len(row)} fields, but the header has {len(header)} columns ({listed(header, 'and')}); {hint}"
