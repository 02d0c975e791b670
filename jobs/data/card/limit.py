"""A section of the report has a size that a page can bear."""

import json
from typing import Any

MOST = 2 * 2**20 - 2**14
"""Bytes of a section: 2 MiB and some room for the form in which it is written."""
_SEGMENT = 6_000
"""Characters of one piece of a rendered example that is cut."""
_CUT = "\n... {:,} characters are not shown here ...\n"


def within(section: dict[str, Any], most: int = MOST) -> dict[str, Any]:
    """The section with rendered examples cut in the middle, and then left out, until it has at most `most` bytes.

    Nothing else of a section grows with the length of the texts.
    """
    if _size(section) <= most:
        return section
    section = {**section, "examples": [_cut_segments(one) for one in section["examples"]]}
    while section["examples"] and _size(section) > most:
        section["examples"] = section["examples"][:-1]
    return section


def _size(section: dict[str, Any]) -> int:
    return len(json.dumps(section, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _cut_segments(example: dict[str, Any]) -> dict[str, Any]:
    return {**example, "segments": [[_cut_text(text), trained] for text, trained in example["segments"]]}


def _cut_text(text: str) -> str:
    if len(text) <= _SEGMENT:
        return text
    half = _SEGMENT // 2
    return text[:half] + _CUT.format(len(text) - 2 * half) + text[-half:]
