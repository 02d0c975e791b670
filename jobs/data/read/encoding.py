"""Bytes that are not UTF-8, named by line and byte, with what they are likely to be. A guess is never used."""

import codecs
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from jobs.data.problems import DataProblem
from jobs.data.read.bytes import UnreadableError, chunks

_SAMPLE_BYTES = 2**20
_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins like UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_OTHER_FILES = (
    (b"PAR1", "a Parquet file: name it .parquet, or set `format: parquet`"),
    (b"ARROW1", "an Arrow file: name it .arrow, or set `format: arrow`"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook: unpack it, or save the sheet as CSV in UTF-8"),
)
_TYPICAL = 0.8
"""Share of the characters outside ASCII that must be frequent ones before an encoding is named."""


def not_text(name: str, start: bytes) -> DataProblem | None:
    """A problem if a file that should be UTF-8 begins like another kind of file."""
    coding = next((coding for mark, coding in _BOMS if start.startswith(mark)), None) or _without_mark(start)
    if coding is not None:
        return DataProblem("encoding", name, None, None, f"the file is {coding}, not UTF-8; {_way_out(coding, name)}")
    other = next((text for magic, text in _OTHER_FILES if start.startswith(magic)), None)
    return None if other is None else DataProblem("file", name, None, None, f"this is no text but {other}")


def not_utf8(path: Path, name: str, line: int, error: UnicodeDecodeError) -> DataProblem:
    """What to say about bytes that are not UTF-8."""
    place = f"byte 0x{error.object[error.start]:02x}, the {error.start + 1:,}. of the line, is not UTF-8"
    status = path.stat()
    coding = _of_file(path, status.st_size, status.st_mtime_ns) or _likely(error.object)
    if coding is None:
        return DataProblem("encoding", name, line, None, f"{place}; save the file as UTF-8, or remove the line")
    return DataProblem("encoding", name, line, None, f"{place}; it reads as {coding}: {_way_out(coding, name)}")


def _without_mark(start: bytes) -> str | None:
    """UTF-16 of two ASCII characters: every other byte is 0."""
    zeros = [byte == 0 for byte in start[:4]]
    if zeros == [False, True, False, True]:
        return "UTF-16LE"
    return "UTF-16BE" if zeros == [True, False, True, False] else None


@lru_cache(maxsize=8)  # a file in another encoding has this asked for each of its lines
def _of_file(path: Path, size: int, changed_ns: int) -> str | None:
    """What the beginning of the file reads as. Size and time of change tell a file from an older one of its name."""
    sample = bytearray()
    try:
        for piece in chunks(path):
            sample += piece
            if len(sample) >= _SAMPLE_BYTES:
                break
    except UnreadableError:
        pass  # the reader says so
    return _likely(bytes(sample[:_SAMPLE_BYTES]))


def _likely(sample: bytes) -> str | None:
    """GB18030 or Big5, if the text has mostly frequent characters in one of them. Both decode most of the other's."""
    if _share("euc_kr", sample, lambda character: "\uac00" <= character <= "\ud7a3") > _TYPICAL:
        return None  # its syllables have the bytes of GB18030's frequent characters
    shares = {
        "GB18030": _share("gb18030", sample, _frequent_simplified),
        "BIG5": _share("big5", sample, _frequent_traditional),
    }
    best = max(shares, key=lambda coding: shares[coding])
    return best if shares[best] > _TYPICAL else None


def _share(coding: str, sample: bytes, typical: Callable[[str], bool]) -> float:
    """Share of typical characters among those outside ASCII; 0 if there are none, or if it cannot be decoded."""
    try:
        text = codecs.getincrementaldecoder(coding)().decode(sample)  # a character cut by the end is left out
    except UnicodeDecodeError:
        return 0.0
    characters = [character for character in text[:20_000] if not character.isascii()]
    return sum(map(typical, characters)) / len(characters) if characters else 0.0


def _frequent_simplified(character: str) -> bool:
    """Level 1 of GB 2312, rows 16 to 55: the 3,755 most used characters; and its punctuation, rows 1 and 3."""
    lead = character.encode("gb2312", "ignore")[:1]
    return b"\xb0" <= lead <= b"\xd7" or lead in (b"\xa1", b"\xa3")


def _frequent_traditional(character: str) -> bool:
    """Level 1 of Big5, 0xA440 to 0xC67E: the 5,401 most used characters; and its punctuation, from 0xA140."""
    lead = character.encode("big5", "ignore")[:1]
    return b"\xa1" <= lead <= b"\xc6"


def _way_out(coding: str, name: str) -> str:
    short = Path(name).name
    convert = f"iconv -f {coding} -t UTF-8 {short} > utf8-{short}"
    if coding in ("GB18030", "UTF-16"):
        return f"say so with `encoding: {coding.lower()}` in run.yaml, or convert it with: {convert}"
    return f"convert it with: {convert}"
