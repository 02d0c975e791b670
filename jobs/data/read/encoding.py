"""Bytes that are not UTF-8, named by line and byte, with what they are likely to be. A guess is never used."""

import codecs
import re
from pathlib import Path

from jobs.data.problems import DataProblem

_SAMPLE_BYTES = 2**20
_CHINESE = re.compile(r"[\u4e00-\u9fff]{2}")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def utf16_problem(path: Path, name: str, start: bytes) -> DataProblem | None:
    """A problem if the file begins like UTF-16."""
    if not start.startswith(_UTF16):
        return None
    return DataProblem("encoding", name, None, None, f"the file is UTF-16, not UTF-8; {_way_out('utf-16', name)}")


def not_utf8(path: Path, name: str, line: int, error: UnicodeDecodeError) -> DataProblem:
    """What to say about bytes that are not UTF-8."""
    place = f"byte 0x{error.object[error.start]:02x}, the {error.start + 1:,}. of the line, is not UTF-8"
    return DataProblem("encoding", name, line, None, place + _likely(path, name))


def _likely(path: Path, name: str) -> str:
    """GB18030 if the beginning of the file reads as Chinese text in it, and not as another one."""
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    if path.name.endswith((".gz", ".zst")) or not _reads_as("gb18030", sample):
        return "; save the file as UTF-8, name its `encoding` in run.yaml, or remove the line"
    return f"; it reads as GB18030: {_way_out('gb18030', name)}"


def _reads_as(encoding: str, sample: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample, final=len(sample) < _SAMPLE_BYTES)
    except UnicodeDecodeError:
        return False
    return _CHINESE.search(text) is not None


def _way_out(encoding: str, name: str) -> str:
    short = Path(name).name
    convert = f"iconv -f {encoding.upper()} -t UTF-8 {short} > utf8-{short}"
    return f"say so with `encoding: {encoding}` in run.yaml, or convert it with: {convert}"
