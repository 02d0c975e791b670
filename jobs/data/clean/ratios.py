"""Ratios of a text that several rules and the benches use. Formulas: methods.md 4.8, after Data-Juicer's operators."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

N = 10
"""Characters, or words, of a sequence whose repetition is counted."""
_SIGN = re.compile(r"[^\w\s]|_")
_NO_LETTER = re.compile(r"[\W\d_]+")
_WORD = re.compile(r"[^\W\d_](?:\S*[^\W\d_])?")


def alphanumeric(text: str) -> float:
    """Share of letters and digits (str.isalnum: Chinese characters too); 0 for the empty text."""
    return sum(map(str.isalnum, text)) / len(text) if text else 0.0


def character_repetition(text: str, n: int = N) -> float:
    """Share of the most frequent sequences of n characters among all; 0 for a text shorter than n.

    All n-grams are counted; k = min(floor(sqrt(distinct)), distinct - those that occur once); the ratio is the sum of
    the k largest counts over the sum of all.
    """
    total = len(text) - n + 1
    if total < 2 or len({text[i : i + n] for i in range(total)}) == total:
        return 0.0
    counts = sorted(Counter(text[i : i + n] for i in range(total)).values(), reverse=True)
    k = min(math.isqrt(len(counts)), len(counts) - counts.count(1))
    return sum(counts[:k]) / total


def repeats_characters(text: str, limit: float, n: int = N) -> float | None:
    """The character repetition if it is above the limit, else None; most texts need no counting.

    With D distinct of T sequences at least 2D - T occur once, so the ratio is at most 2 (T - D) / T.
    """
    total = len(text) - n + 1
    if total < 2 or 2 * (total - len({text[i : i + n] for i in range(total)})) <= limit * total:
        return None
    ratio = character_repetition(text, n)
    return ratio if ratio > limit else None


def words(text: str) -> list[str]:
    """Lower-cased words between white space, from their first to their last letter: numbers and signs drop out."""
    return _WORD.findall(text.lower())


def word_repetition(found: Sequence[str], n: int = N) -> float:
    """Share of sequences of n words that occur more than once: sum of counts > 1 over the sum of counts."""
    total = len(found) - n + 1
    if total < 2:
        return 0.0
    sequence = tuple(found)
    grams = [sequence[i : i + n] for i in range(total)]
    if len(set(grams)) == total:
        return 0.0
    return sum(count for count in Counter(grams).values() if count > 1) / total


def letters(text: str) -> str:
    """Lower-cased letters alone: the words of a language that writes no blanks between them."""
    return _NO_LETTER.sub("", text.lower())


def repeated_share(text: str, limit: float, n: int = N) -> float | None:
    """word_repetition with each character as a word, if it is above the limit, else None.

    Character repetition does not find a sentence said many times: of p different sequences it counts sqrt(p), so
    a text with a period of 9 characters has 0.33.
    """
    total = len(text) - n + 1
    if total < 2 or 2 * (total - len({text[i : i + n] for i in range(total)})) <= limit * total:
        return None
    ratio = sum(count for count in Counter(text[i : i + n] for i in range(total)).values() if count > 1) / total
    return ratio if ratio > limit else None


def special(text: str) -> float:
    """Share of characters that are neither letters, marks, digits, white space nor joiners; 0 for the empty text.

    Marks (Unicode category M) write the vowels of Hindi or Thai; joiners (Cf) hold emoji and Persian words together.
    """
    return len([sign for sign in _SIGN.findall(text) if not _is_part(sign)]) / len(text) if text else 0.0


def signs(text: str) -> int:
    """Characters that are neither letters, digits nor white space: not less than `special` counts, and faster."""
    return len(_SIGN.findall(text))


def _is_part(sign: str) -> bool:
    category = unicodedata.category(sign)
    return category[0] == "M" or category == "Cf"
