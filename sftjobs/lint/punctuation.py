"""P07: the same mark written in two ways. A model that sees both has to learn that they mean the same."""

import re
from collections.abc import Iterator

from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import HAN, MASK, definitions, demands, is_chinese, prose
from sftjobs.spec.prompt import PromptSpec

_WIDTHS = (("，", ","), ("：", ":"), ("；", ";"), ("？", "?"), ("！", "!"), ("（", "("))
_FULL = re.compile(r"[，。：；？！（）]")
_QUOTES = (
    ("“ ”", re.compile(r"“[^”\n]*”")),
    ('" "', re.compile(r'"[^"\n]*"')),
    ("「 」", re.compile(r"「[^」\n]*」")),
    ("『 』", re.compile(r"『[^』\n]*』")),
    ("« »", re.compile(r"«[^»\n]*»")),
)
_CLOSED = re.compile(r"（[^（）()\n]*\)|\([^（）()\n]*）")


def mixed(prompt: PromptSpec) -> Iterator[Finding]:
    """P07: marks of full and half width, brackets that open and close differently, two kinds of quotation marks."""
    parts = [*demands(prompt), *definitions(prompt)]
    texts = [(part, prose(part.text)) for part in parts]
    if is_chinese("\n".join(text for _, text in texts)):
        yield from _half_among_full(texts)
    else:
        yield from _full_in_latin(texts)
    for part, text in texts:
        for match in _CLOSED.finditer(text):
            message = "this bracket opens in one width and closes in the other"
            yield part.finding("P07", "warning", message, "write both as （ ） or both as ( )", match.span())
    yield from _quotes(texts)


def _half_among_full(texts: list[tuple[Part, str]]) -> Iterator[Finding]:
    """Behind Chinese characters: which of the two widths is the rarer one?"""
    for full, half in _WIDTHS:
        # Inside a bracket of Latin text, or before a number, half width is right.
        behind = rf"(?<=[{HAN}”」』）》]) ?{re.escape(half)}"
        ahead = rf"(?={MASK}| ?[{HAN}])" if half == "(" else ""
        found_half = [(part, m) for part, text in texts for m in re.finditer(behind + ahead, text)]
        found_full = [(part, m) for part, text in texts for m in re.finditer(re.escape(full), text)]
        if found_half and found_full:
            rare, other = (found_half, full) if len(found_half) <= len(found_full) else (found_full, half)
            part, match = rare[0]
            span = (match.end() - 1, match.end())
            message = f"both {full} ({len(found_full)}) and {half} ({len(found_half)}) behind Chinese text"
            yield part.finding("P07", "warning", message, f"write {other} everywhere", span)


def _full_in_latin(texts: list[tuple[Part, str]]) -> Iterator[Finding]:
    """Full-width marks in a prompt that is not Chinese."""
    found = [(part, m) for part, text in texts for m in _FULL.finditer(text) if _after_latin(text, m.start())]
    for part, match in found[:1]:
        message = f"full-width {match.group()} in a prompt that is not Chinese ({len(found)} in all)"
        yield part.finding("P07", "warning", message, "write the half-width mark", match.span())


def _after_latin(text: str, at: int) -> bool:
    return re.search(r"[A-Za-z0-9)\"']\s*$", text[:at]) is not None


def _quotes(texts: list[tuple[Part, str]]) -> Iterator[Finding]:
    found = [(name, [(part, m) for part, text in texts for m in marks.finditer(text)]) for name, marks in _QUOTES]
    used = sorted(((name, places) for name, places in found if places), key=lambda item: -len(item[1]))
    # 「 」 for names of buttons beside “ ” for words is a common habit; two kinds for the same length are not.
    if len(used) > 1 and {used[0][0], used[1][0]} not in ({"“ ”", "「 」"}, {"「 」", "『 』"}):
        (most, _), (rare, places) = used[0], used[-1]
        part, match = places[0]
        message = f"two kinds of quotation marks, {most} and {rare}"
        yield part.finding("P07", "warning", message, f"write {most} everywhere", match.span())
