"""The number in an answer."""

import math
import re
import unicodedata
from dataclasses import dataclass

from jobs.answers.metrics.base import Answered, NotScored

TOLERANCE = 1e-6
"""Largest relative difference of two numbers that are the same."""

_SEPARATED = re.compile(r"(?<=\d)[\u00a0\u202f\u2009’'](?=\d{3}(?!\d))")
"""Narrow and fixed blanks and apostrophes between groups of three digits."""
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.)])[-+])?\s?[$€£¥]?\s?"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)"
    r"(?P<exponent>e[-+]?\d+)?"
    r"(?:/(?P<below>\d+(?:\.\d+)?)(?![\d/]))?"
    r"\s?(?P<unit>[万亿千百]+)?\s?(?P<percent>%)?",
    re.IGNORECASE,
)
_UNITS = {"百": 1e2, "千": 1e3, "万": 1e4, "亿": 1e8}
_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_STEPS = {"十": 10, "百": 100, "千": 1000}
_CHINESE = re.compile(
    r"(?P<percent>百分之)?(?P<sign>负)?(?P<whole>[零〇一二两三四五六七八九十百千万亿]+)"
    r"(?:点(?P<rest>[零〇一二三四五六七八九]+))?"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is written."""

    value: float
    """With its percent sign left out."""
    percent: bool = False

    @property
    def readings(self) -> tuple[float, ...]:
        return (self.value, self.value / 100) if self.percent else (self.value,)


def numeric(one: Answered) -> bool | NotScored:
    """The last number of the answer is the last one of the expected answer, up to a relative difference of 1e-6."""
    expected = last_number(one.expected_text)
    if expected is None:
        return NotScored("the expected answer holds no number")
    found = last_number(one.text)
    return found is not None and equal(expected, found)


def equal(one: Number, other: Number) -> bool:
    """50 % is 50 % and 0.5; where only one of the two is written with a percent sign, it is 50 too."""
    if one.percent and other.percent:
        return _close(one.value, other.value)
    return any(_close(a, b) for a in one.readings for b in other.readings)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)


def last_number(text: str) -> Number | None:
    """The last number: with thousands separators, full-width digits, percent sign, 万 and 亿, or as a fraction a/b.

    Numbers in Chinese characters are read only where the text has no digits: 一 is also a word.
    """
    plain = unicodedata.normalize("NFKC", _SEPARATED.sub("", text)).replace("\u2212", "-")
    found = [number for match in _NUMBER.finditer(plain) if (number := _digits(match)) is not None]
    if not found:
        found = [number for match in _CHINESE.finditer(plain) if (number := _chinese(match)) is not None]
    return found[-1] if found else None


def _digits(match: re.Match[str]) -> Number | None:
    value = float(match["digits"].replace(",", "") + (match["exponent"] or ""))
    if match["below"]:
        below = float(match["below"])
        dated = match.string[: match.start("digits")].endswith("/")  # 2024/05/06 is no fraction
        if not dated and below == 0:
            return None
        value = below if dated else value / below
    for unit in match["unit"] or "":
        value *= _UNITS[unit]
    if match["sign"] == "-":
        value = -value
    return Number(value, match["percent"] is not None) if math.isfinite(value) else None


def _chinese(match: re.Match[str]) -> Number | None:
    whole = chinese_integer(match["whole"])
    if whole is None:
        return None
    value = float(whole)
    if match["rest"]:
        value += float("0." + "".join(str(_DIGITS[digit]) for digit in match["rest"]))
    return Number(-value if match["sign"] else value, match["percent"] is not None)


def chinese_integer(text: str) -> int | None:
    """三百二十 is 320, 一万零五 is 10005, 二〇二四 is 2024; None if it is no number."""
    if all(character in _DIGITS for character in text):
        return int("".join(str(_DIGITS[character]) for character in text))
    total = section = 0
    digit: int | None = None
    for character in text:
        if character in _DIGITS:
            if digit:  # 三五十
                return None
            digit = _DIGITS[character]
        elif character in _STEPS:
            section += (1 if digit is None else digit) * _STEPS[character]
            digit = None
        else:
            section += digit or 0
            if not section and not total:
                return None
            unit = 10_000 if character == "万" else 100_000_000
            total = (total + section) * unit if unit > 10_000 else total + section * unit
            section, digit = 0, None
    return total + section + (digit or 0)
