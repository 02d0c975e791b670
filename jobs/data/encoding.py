"""Lines of a UTF-8 file. Bytes that are not UTF-8 are named by line and byte, with a guess at what they are."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from jobs.data.problems import DataProblem, Report

_SAMPLE_BYTES = 2**20
_CHINESE = re.compile(r"[\u4e00-\u9fff]{2}")


def decoded_lines(path: Path, name: str, report: Report) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line, with its line end. Stops at the first bytes that are not UTF-8."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                message = f"the file is UTF-16, not UTF-8; {_convert('UTF-16', name)}"
                report(DataProblem("encoding", name, 1, None, message))
                return
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                # utf-8-sig counts from behind the mark that it removes
                skipped = len(codecs.BOM_UTF8) if number == 1 and line.startswith(codecs.BOM_UTF8) else 0
                at = error.start + (skipped if len(error.object) < len(line) else 0)
                hint = _guess(path, name)
                message = f"byte 0x{line[at]:02x} at offset {offset + at:,} of the file is not UTF-8{hint}"
                report(DataProblem("encoding", name, number, None, message))
                return
            offset += len(line)


def _guess(path: Path, name: str) -> str:
    """GB18030 if all of the file reads as Chinese text in it."""
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    decoder = codecs.getincrementaldecoder("gb18030")()
    try:
        text = decoder.decode(sample, final=len(sample) < _SAMPLE_BYTES)
    except UnicodeDecodeError:
        return "; save the file as UTF-8, or remove the line"
    if not _CHINESE.search(text):
        return "; save the file as UTF-8, or remove the line"
    return f"; it reads as GB18030: {_convert('GB18030', name)}"


def _convert(encoding: str, name: str) -> str:
    short = Path(name).name
    return f"convert it with: iconv -f {encoding} -t UTF-8 {short} > utf8-{short}"
