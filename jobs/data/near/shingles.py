"""Shingles: the set of short sequences that a text is compared by (Broder 1997, "On the resemblance of documents").

A text is normalised (NFKC, case folded, punctuation and white space as one blank), and cut into words, or into
characters where most of it is Chinese, Japanese or Korean. Sequences of 2 words or 3 characters: the questions of
business data are short, and longer ones would make two of ten words differ in everything.
"""

import re
import unicodedata
from itertools import pairwise

WORDS = 2
CHARACTERS = 3
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_NO_WORD = re.compile(r"[^\w]+")


def normalised(text: str) -> str:
    """The text without case, width, punctuation and surplus white space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _NO_WORD.sub(" ", text.casefold()).strip()


def tokens(text: str) -> list[str]:
    """Words of a normalised text, or its characters where most of them are of East Asian scripts."""
    if not text.isascii() and 2 * len(_CJK.findall(text)) > len(text.replace(" ", "")):
        return list(text.replace(" ", ""))
    return text.split()


def shingles(text: str) -> set[str]:
    """The set that two texts are compared by; never empty.

    A text that is shorter than a shingle is one as a whole; one without any letter or digit is compared as it is.
    """
    plain = normalised(text)
    found = tokens(plain)
    if not found:
        return {text.strip()}
    if any(_CJK.match(token) for token in found[:8]) and all(len(token) == 1 for token in found):
        joined = "".join(found)
        return {joined[i : i + CHARACTERS] for i in range(max(1, len(joined) - CHARACTERS + 1))}
    if len(found) < WORDS:
        return {plain}
    return {f"{a} {b}" for a, b in pairwise(found)}
