"""One JSON list of records, read element by element: the list may be larger than the memory."""

import codecs
import json
from collections.abc import Iterator

from jobs.data.problems import DataProblem, Report
from jobs.data.read.bytes import UnreadableError, chunks
from jobs.data.read.encoding import not_utf8, utf16_problem
from jobs.data.read.jsonl import json_message
from jobs.data.read.lines import MAX_LINE
from jobs.data.read.records import Record, SourceFile

_SPACE = " \t\r\n"
_LISTS = ("data", "records", "examples", "rows", "train")
"""Keys under which an object may hold the list."""


class _Ends(Exception):  # noqa: N818 - the place where reading ends, not a failure of the program
    """Nothing more can be read."""


class _Text:
    """The text of a file, of which only a window is in memory."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._pieces = chunks(file.path, file.encoding)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self.window = ""
        self.line = 1
        """Line of the window's first character."""
        self.ended = False

    def more(self) -> bool:
        """Read on until the window is twice as long; False at the end. Raises UnicodeDecodeError."""
        wanted = max(2**16, len(self.window))
        added: list[str] = []
        while not self.ended and sum(map(len, added)) < wanted:
            piece = next(self._pieces, None)
            self.ended = piece is None
            added.append(self._decoder.decode(piece or b"", final=self.ended))
        self.window += "".join(added)
        return any(added)

    def skip(self, characters: int) -> None:
        self.line += self.window.count("\n", 0, characters)
        self.window = self.window[characters:]

    def next_character(self) -> str:
        """The next character that is no white space; '' at the end."""
        while True:
            rest = self.window.lstrip(_SPACE)
            self.skip(len(self.window) - len(rest))
            if rest or not self.more():
                return rest[:1]


def records(file: SourceFile, report: Report) -> Iterator[Record]:
    """The elements of the list, numbered from 1; reading ends at the first that is no JSON."""
    with file.path.open("rb") as opened:
        problem = utf16_problem(file.path, file.name, opened.read(2)) if file.encoding == "utf-8" else None
    if problem is not None:
        report(problem)
        return
    text = _Text(file)
    try:
        yield from _elements(text, file, report)
    except UnreadableError as error:
        report(DataProblem("file", file.name, text.line, None, str(error)))
    except UnicodeDecodeError as error:
        report(not_utf8(file.path, file.name, text.line, error))
    except _Ends as end:
        report(DataProblem("json", file.name, text.line, None, str(end)))


def _elements(text: _Text, file: SourceFile, report: Report) -> Iterator[Record]:
    decoder = json.JSONDecoder()
    _open_list(text, decoder)
    number = 0
    while True:
        character = text.next_character()
        if character == "]":
            return
        if number:
            if character != ",":
                raise _Ends(f"after element {number:,} a , or ] is missing: was the file cut short?")
            text.skip(1)
            character = text.next_character()
        if not character:
            raise _Ends(f"the file ends after element {number:,} without the closing ]: was it cut short?")
        line, value = text.line, _value(text, decoder, number + 1)
        number += 1
        if isinstance(value, dict):
            yield Record(number, value)
        else:
            message = f"element {number:,} is no record {{...}}"
            report(DataProblem("json", file.name, line, None, message))


def _open_list(text: _Text, decoder: json.JSONDecoder) -> None:
    """Go behind the opening bracket: of the list itself, or of the one list of an object such as {"data": [...]}."""
    first = text.next_character()
    if first == "{":
        text.skip(1)
        while (first := text.next_character()) == '"':
            key = _value(text, decoder, 0)
            text.next_character()
            text.skip(1)  # the colon
            if key in _LISTS and text.next_character() == "[":
                first = "["
                break
            _value(text, decoder, 0)
            if text.next_character() == ",":
                text.skip(1)
    if first != "[":
        known = ", ".join(_LISTS)
        raise _Ends(
            f"a .json file is one list of records [{{...}}, ...], or an object with the list under {known}; for one "
            "record per line name it .jsonl, or set format: jsonl"
        )
    text.skip(1)


def _value(text: _Text, decoder: json.JSONDecoder, number: int) -> object:
    """The next value, with as much of the file as it needs. Raises _Ends."""
    text.next_character()
    while True:
        try:
            value, end = decoder.raw_decode(text.window)
        except json.JSONDecodeError as error:
            near_end = error.pos + 16 >= len(text.window) or error.msg.startswith("Unterminated")
            if near_end and len(text.window) <= MAX_LINE and text.more():
                continue
            raise _Ends(f"element {number:,}: {json_message(text.window, error)}") from None
        except (ValueError, RecursionError) as error:
            raise _Ends(f"element {number:,} cannot be read: {error}") from None
        if end == len(text.window) and text.more():  # a number may go on
            continue
        text.skip(end)
        return value
