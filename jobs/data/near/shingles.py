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
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_NO_WORD = re.compile(r"[^\w]+")


def normalised(text: str) -> str:
    """The text without case, width, punctuation and surplus white space."""
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return _NO_WORD.sub(" ", text.casefold()).strip()


def is_east_asian(plain: str) -> bool:
    """More than half of the characters of a normalised text are Chinese, Japanese or Korean."""
    if plain.isascii():
        return False
    return 2 * sum(map(len, _CJK.findall(plain))) > len(plain) - plain.count(" ")


def tokens(plain: str) -> list[str]:
    """Words of a normalised text, or its characters where most of them are of East Asian scripts."""
    return list(plain.replace(" ", "")) if is_east_asian(plain) else plain.split()


def shingles(text: str) -> set[str]:
    """The set that two texts are compared by; never empty.

    A text that is shorter than a shingle is one as a whole; one without any letter or digit is compared as it is.
    """
    plain = normalised(text)
    if is_east_asian(plain):
        joined = plain.replace(" ", "")
        return {joined[i : i + CHARACTERS] for i in range(max(1, len(joined) - CHARACTERS + 1))}
    found = plain.split()
    if len(found) >= WORDS:
        return {f"{a} {b}" for a, b in pairwise(found)}
    return {plain or text.strip()}
