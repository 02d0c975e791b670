"""JSON Lines: one record per line."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.data.problems import DataProblem, Report
from jobs.data.read.encoding import not_text, not_utf8
from jobs.data.read.lines import line_blocks
from jobs.data.read.records import Record, SourceFile
from sftjobs.spec.words import shortened

_AROUND = 30  # characters shown on both sides of a mistake


@dataclass(frozen=True)
class JsonLines:
    """Some lines of a file."""

    path: Path
    name: str
    first_line: int
    data: bytes


def blocks(file: SourceFile, report: Report) -> Iterator[JsonLines]:
    """The file in blocks of lines."""
    for number, data in line_blocks(file.path, file.name, file.encoding, report):
        if number == 1:
            problem = not_text(file.name, data)
            if problem is not None:
                report(problem)
                return
            data = data.removeprefix(codecs.BOM_UTF8)
        yield JsonLines(file.path, file.name, number, data)


def parse(block: JsonLines, report: Report) -> Iterator[Record]:
    """The records of a block; what cannot be read is reported, and the next line is tried."""
    for number, line in enumerate(block.data.splitlines(), start=block.first_line):
        if not line or line.isspace():
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            report(not_utf8(block.path, block.name, number, error))
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            report(DataProblem("json", block.name, number, error.colno, json_message(text, error)))
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
            report(DataProblem("json", block.name, number, None, f"this JSON cannot be read: {error}"))
        else:
            if isinstance(values, dict):
                yield Record(number, values)
            else:
                report(DataProblem("json", block.name, number, 1, no_object(values, text)))


def no_object(values: Any, text: str) -> str:
    """What is said of JSON that is no object."""
    what = "a list" if isinstance(values, list) else f"'{shortened(text, 30)}'"
    return f"a record is one {{...}} per line, and this is {what}"


def json_message(text: str, error: json.JSONDecodeError) -> str:
    """What is wrong with a line, with the place and a guess at the cause."""
    start = max(0, error.pos - _AROUND)
    excerpt = shortened(text[start : error.pos + _AROUND], 2 * _AROUND)
    hint = ""
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        hint = "; the line ends in the middle of the record: was the file cut short, or a record spread over lines?"
    if text.lstrip().startswith("["):
        hint = (
            "; this looks like one JSON list: a .jsonl file has one {...} per line; name it .json, or set format: json"
        )
    what = error.msg.removesuffix(" starting at").removesuffix(" at")
    return f"not JSON: {what} at …{excerpt}…{hint}"
