"""One JSON list of records, read element by element: the list may be larger than the memory."""

import codecs
import json
import re
from collections.abc import Iterator

from jobs.data.problems import DataProblem, Report
from jobs.data.read.bytes import UnreadableError, chunks
from jobs.data.read.encoding import not_text, not_utf8
from jobs.data.read.jsonl import json_message
from jobs.data.read.lines import MAX_LINE
from jobs.data.read.records import Record, SourceFile

_SPACE = re.compile(r"[ \t\r\n]*")
_WINDOW = 2**18
_LISTS = ("data", "records", "examples", "rows", "train")
"""Keys under which an object may hold the list."""
_SPLITS = ("validation", "dev", "test")


class _Ends(Exception):  # noqa: N818 - the place where reading ends, not a failure of the program
    """Nothing more can be read."""

    def __init__(self, message: str, line: int, column: int | None = None) -> None:
        self.line = line
        self.column = column
        super().__init__(message)


class _Text:
    """The text of a file, of which only a window is in memory."""

    def __init__(self, file: SourceFile) -> None:
        self._pieces = chunks(file.path, file.encoding)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._ended = False
        self.window = ""
        self.at = 0
        """Where in the window the next character is."""
        self.line = 1
        """Its line."""
        self.first = True
        """Whether the window is the beginning of the file."""

    def more(self) -> bool:
        """Read on until what lies ahead is twice as long; False at the end. Raises UnicodeDecodeError."""
        ahead = len(self.window) - self.at
        added: list[str] = []
        while not self._ended and sum(map(len, added)) < max(_WINDOW, ahead):
            piece = next(self._pieces, None)
            self._ended = piece is None
            added.append(self._decoder.decode(piece or b"", final=self._ended))
        if not any(added):
            return False
        self.first = not self.window or (self.first and not self.at)
        self.window, self.at = "".join([self.window[self.at :], *added]), 0
        return True

    def skip_to(self, at: int) -> None:
        self.line += self.window.count("\n", self.at, at)
        self.at = at

    def next_character(self) -> str:
        """The next character that is no white space; '' at the end."""
        while True:
            found = _SPACE.match(self.window, self.at)
            assert found is not None
            self.skip_to(found.end())
            if self.at < len(self.window) or not self.more():
                return self.window[self.at : self.at + 1]

    def take(self) -> None:
        """Go behind the next character."""
        self.at += 1


def records(file: SourceFile, report: Report) -> Iterator[Record]:
    """The elements of the list, numbered from 1; reading ends at the first that is no JSON."""
    text = _Text(file)
    try:
        problem = not_text(file.name, next(chunks(file.path, file.encoding), b"")[:8])
        if problem is None:
            yield from _elements(text, file, report)
        else:
            report(problem)
    except UnreadableError as error:
        report(DataProblem("file", file.name, None, None, f"{error} after line {text.line:,}"))
    except UnicodeDecodeError as error:
        line = text.line + text.window.count("\n", text.at) + error.object.count(b"\n", 0, error.start)
        report(not_utf8(file.path, file.name, line, _in_its_line(error)))
    except _Ends as end:
        report(DataProblem("file", file.name, end.line, end.column, str(end)))  # never skipped: records are missing


def _in_its_line(error: UnicodeDecodeError) -> UnicodeDecodeError:
    """The error with the line as its bytes, as far as they were read together."""
    data = error.object
    begin = data.rfind(b"\n", 0, error.start) + 1
    end = data.find(b"\n", error.start)
    line = data[begin : end if end >= 0 else len(data)]
    return UnicodeDecodeError(error.encoding, line, error.start - begin, error.end - begin, error.reason)


def holds_lines(file: SourceFile) -> bool:
    """Whether the file is JSON Lines in spite of its name: an object, and then another one."""
    text = _Text(file)
    try:
        if text.next_character() != "{":
            return False
        _, end = json.JSONDecoder().raw_decode(text.window, text.at)
        text.skip_to(end)
        return text.next_character() == "{"
    except (ValueError, RecursionError, UnreadableError):  # not within the first window: the reader will see
        return False


def _elements(text: _Text, file: SourceFile, report: Report) -> Iterator[Record]:
    decoder = json.JSONDecoder()
    in_object = _open_list(text, decoder)
    number = 0
    while (character := text.next_character()) != "]":
        if number:
            if character != ",":
                raise _Ends(f"after element {number:,} a , or ] is missing: was the file cut short?", text.line)
            text.take()
            character = text.next_character()
        if not character:
            raise _Ends(f"the file ends after element {number:,} without the closing ]: was it cut short?", text.line)
        line, value = text.line, _value(text, decoder, f"element {number + 1:,}")
        number += 1
        if isinstance(value, dict):
            yield Record(number, value)
        else:
            report(DataProblem("json", file.name, line, None, f"element {number:,} is no record {{...}}"))
    text.take()
    _check_end(text, in_object, decoder)


def _open_list(text: _Text, decoder: json.JSONDecoder) -> bool:
    """Go behind the opening bracket: of the list itself, or of the one list of an object such as {"data": [...]}.

    Tells whether it is in an object.
    """
    first = text.next_character()
    in_object = first == "{"
    if in_object:
        text.take()
        while (first := text.next_character()) == '"':
            key = _value(text, decoder, "the first key")
            if text.next_character() != ":":
                raise _Ends(f"not JSON: after the key {key!r} a : is missing", text.line)
            text.take()
            if key in _LISTS and text.next_character() == "[":
                first = "["
                break
            _value(text, decoder, f"the value of {key!r}")
            if text.next_character() == ",":
                text.take()
    if first != "[":
        known = ", ".join(_LISTS)
        message = f"a .json file is one list of records [{{...}}, ...], or an object with the list under {known}"
        raise _Ends(f"{message}; for one record per line name it .jsonl, or set format: jsonl", text.line)
    text.take()
    return in_object


def _check_end(text: _Text, in_object: bool, decoder: json.JSONDecoder) -> None:
    """Nothing more comes behind a list; an object around it goes on to its end, without another list. Raises _Ends."""
    while in_object and text.next_character() == ",":
        text.take()
        key = _value(text, decoder, "the key behind the list")
        if text.next_character() != ":":
            raise _Ends(f"not JSON: after the key {key!r} a : is missing", text.line)
        text.take()
        if isinstance(_value(text, decoder, f"the value of {key!r}"), list) and key in (*_LISTS, *_SPLITS):
            message = f"the file has a second list, under {key!r}, which would not be read; give it a file of its own"
            raise _Ends(message, text.line)
    if in_object:
        if text.next_character() != "}":
            raise _Ends("the file ends behind the list without the closing }: was it cut short?", text.line)
        text.take()
    if text.next_character():
        raise _Ends("there is more behind the closing ] of the list; a .json file is one list", text.line)


def _value(text: _Text, decoder: json.JSONDecoder, what: str) -> object:
    """The next value, with as much of the file as it needs. Raises _Ends."""
    text.next_character()
    while True:
        ahead = len(text.window) - text.at
        try:
            value, end = decoder.raw_decode(text.window, text.at)
        except json.JSONDecodeError as error:
            near_end = error.pos + 16 >= len(text.window) or error.msg.startswith("Unterminated")
            if near_end and ahead <= MAX_LINE and text.more():
                continue
            if near_end and ahead > MAX_LINE:
                message = f"{what} has more than {MAX_LINE >> 20} Mi characters: no record is that long"
                raise _Ends(message, text.line) from None
            raise _not_json(text, error, what) from None
        except (ValueError, RecursionError) as error:
            raise _Ends(f"{what} cannot be read: {error}", text.line) from None
        if end == len(text.window) and text.more():  # a number may go on
            continue
        text.skip_to(end)
        return value


def _not_json(text: _Text, error: json.JSONDecodeError, what: str) -> _Ends:
    """With the place of the mistake, which can be some lines behind the beginning of the value."""
    line = text.line + text.window.count("\n", text.at, error.pos)
    begin = text.window.rfind("\n", 0, error.pos)
    column = error.pos - begin if begin >= 0 or text.first else None
    moved = json.JSONDecodeError(error.msg, text.window[text.at :], error.pos - text.at)
    return _Ends(f"{what}: {json_message(moved.doc, moved)}", line, column)
