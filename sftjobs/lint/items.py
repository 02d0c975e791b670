"""P04: several things that only line breaks keep apart. The model cannot see where one ends (methods: number them)."""

import re
from collections.abc import Iterator

from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import MASK, demands, is_chinese, prose, size
from sftjobs.spec.prompt import PromptSpec

_MARKER = re.compile(r"\s*(?:[-*•·+>#|]|[（(]?(?:\d+|[一二三四五六七八九十]+|[A-Za-z])[)）.、:：]|[①-⑳]|第)")
_ENDED = re.compile(r"[.,;:!?。，；：！？、…>\]】}]\s*$")
_NAMED = re.compile(r"[:：=]|->|→")
_WORDS, _CHARACTERS, _ITEMS = 5, 12, 3
_TOUCHING = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}(\s*)(?=\{\{\s*([^{}]+?)\s*\}\})")


def bare_items(prompt: PromptSpec) -> Iterator[Finding]:
    """P04: three or more short lines without number, bullet or name; or placeholders with only white space between."""
    for part in demands(prompt):
        for start, end, count in _runs(part):
            message = f"{count} items are separated by nothing but line breaks"
            fix = "number them (1. ..., 2. ...) or begin each with -"
            yield part.finding("P04", "warning", message, fix, (start, end))
    for match in _TOUCHING.finditer(prompt.input):
        first, second = match.group(1), match.group(3)
        message = f"only white space separates {first} and {second}: the model cannot see where one ends"
        colon = "：" if is_chinese(first + second) else ": "
        fix = f"name each, for example `{first}{colon}{{{{ {first} }}}}` and `{second}{colon}{{{{ {second} }}}}`"
        end = prompt.input.index("}}", match.end()) + 2
        yield Part(("input",), prompt.input).finding("P04", "warning", message, fix, (match.start(), end))


def _runs(part: Part) -> Iterator[tuple[int, int, int]]:
    """Start, end and number of lines of each run of bare items."""
    at, first, last, count = 0, 0, 0, 0
    for line in [*prose(part.text).split("\n"), ""]:
        if _is_item(line):
            first = at if not count else first
            last, count = at + len(line), count + 1
        else:
            if count >= _ITEMS:
                yield first, last, count
            count = 0
        at += len(line) + 1


def _is_item(line: str) -> bool:
    """A few words with neither marker, name nor punctuation. Prose that is wrapped has longer lines."""
    if not line.strip() or MASK in line or _MARKER.match(line) or _ENDED.search(line) or _NAMED.search(line):
        return False
    return 0 < size(line) <= (_CHARACTERS if is_chinese(line) else _WORDS)
