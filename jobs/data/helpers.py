"""What the rules need beside config and records: the user's lists, and the tokenizer's special tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobs.data.problems import Report
from jobs.data.review import Correction, read_sheet
from jobs.lm.render import Renderer
from sftjobs.errors import DataError
from sftjobs.spec.input_places import CORRECTIONS, FLAGGED_WORDS


@dataclass(frozen=True)
class InputFile:
    """Where an input is, and what messages call it."""

    path: Path
    """A file, or a folder of a data set."""
    name: str
    digest: str = ""
    """SHA-256 of the input, as examples name their source."""


@dataclass(frozen=True)
class Helpers:
    """The lists."""

    special_tokens: list[str] = field(default_factory=list)
    flagged_words: list[str] = field(default_factory=list)
    corrections: Mapping[str, Correction] = field(default_factory=dict)
    """Id of an example -> what a person decided."""


def find_helpers(files: Mapping[str, InputFile], renderer: Renderer | None, report: Report) -> Helpers:
    """The lists among the inputs. Raises DataError if the list of words cannot be read."""
    sheet, words = files.get(CORRECTIONS), files.get(FLAGGED_WORDS)
    return Helpers(
        special_tokens=[] if renderer is None else sorted(map(str, renderer.tokenizer.all_special_tokens)),
        flagged_words=[] if words is None else word_list(words.path, words.name),
        corrections={} if sheet is None else read_sheet(sheet.path, sheet.name, report),
    )


def word_list(path: Path, name: str) -> list[str]:
    """One word per line; empty lines and lines that begin with # are left out. Raises DataError if it is not UTF-8."""
    lines = [line.strip() for line in list_lines(path, name)]
    return [line for line in lines if line and not line.startswith("#")]


def list_lines(path: Path, name: str) -> list[str]:
    """Lines of a list that a person wrote. Raises DataError if it is not UTF-8."""
    try:
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: byte {error.start:,} is not UTF-8; save the list as UTF-8") from None
