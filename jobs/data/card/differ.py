"""Two texts side by side, with what differs marked."""

import re
from difflib import SequenceMatcher

Segments = list[tuple[str, bool]]
"""Pieces of a text, each with whether it differs from the other text."""
_PIECE = re.compile(r"[\u3400-\u9fff]|\w+|\s+|[^\w\s]")
"""Chinese characters one by one, else words, spaces and marks."""
EXCERPT = 400
"""Characters of each text that are shown."""


def side_by_side(left: str, right: str) -> tuple[Segments, Segments]:
    """Both texts in segments, cut where they are long. Spaces alone are a difference too."""
    pieces = [_PIECE.findall(_cut(text)) for text in (left, right)]
    first: Segments = []
    second: Segments = []
    matcher = SequenceMatcher(None, pieces[0], pieces[1], autojunk=False)
    for operation, a, b, c, d in matcher.get_opcodes():
        differs = operation != "equal"
        if a < b:
            first.append(("".join(pieces[0][a:b]), differs))
        if c < d:
            second.append(("".join(pieces[1][c:d]), differs))
    return first, second


def _cut(text: str) -> str:
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"
