"""Rule `unbalanced`: a code fence, bracket or JSON value that the answer opens and does not close.

docs/rules/unbalanced.md
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.text import View

_MAY_OPEN = re.compile(r"[`~(\[{（【「『《〈〔]")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_JSON_START = re.compile(r"[{\[]\s*(?:[\"{\[}\]\d-]|true|false|null)")
_JSON_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)[^`]+\1(?!`)")
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]{1,3}'|“[^”\n]*”")
# :( and :-[ are faces; \left( \right. are delimiters of LaTeX that need no partner of their kind.
_NO_BRACKET = re.compile(r"[:;=8xX]['-]?[(\[{]|\\(?:left|right|[Bb]igg?[lr]?)\s*\\?.|\\[(\[)\]]")
_BRACKET = re.compile(r"[()\[\]{}（）【】「」『』《》〈〉〔〕]")
_OPENING = frozenset("([{（【「『《〈〔")


@dataclass(frozen=True, slots=True)
class UnbalancedSettings:
    """What is looked at."""

    brackets: bool = True
    """Brackets in prose, besides code fences and JSON."""


class UnbalancedRule:
    """Looks at free answers. What stands inside a code fence is only looked at if the fence says `json`.

    Only what is opened counts: the `)` of `a)` or `:)` closes nothing. Any closing bracket closes any opening one, as
    in the interval `[0, 1)` or where full and half width are mixed.
    """

    name: ClassVar[str] = "unbalanced"

    def __init__(self, settings: UnbalancedSettings = UnbalancedSettings()) -> None:
        self._brackets = settings.brackets

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        if view.format != "free":
            return None
        for answer in view.answers:
            if _MAY_OPEN.search(answer):
                reason = self._reason(answer)
                if reason:
                    return reason
        return None

    def _reason(self, answer: str) -> str | None:
        prose, blocks, open_line = split_fences(answer)
        if open_line is not None:
            return f"the code fence of line {open_line:,} of the answer is not closed"
        for kind, code in blocks:
            if kind == "json" and _json_depth(code) > 0:
                return f"the JSON in a code fence of the answer is not closed (depth {_json_depth(code)})"
        if _JSON_START.match(prose.lstrip()):
            depth = _json_depth(prose)
            return f"the JSON of the answer is not closed (depth {depth})" if depth > 0 else None
        if not self._brackets:
            return None
        prose = _NO_BRACKET.sub("", _INLINE_CODE.sub("", prose))
        place = _open_bracket(prose)
        # A bracket inside quotes may be meant as a character: it counts only if it is open without the quotes too.
        if place is None or _open_bracket(_QUOTED.sub("", prose)) is None:
            return None
        return f"the bracket in {prose[place : place + 20]!r} is not closed in the answer"


def split_fences(text: str) -> tuple[str, list[tuple[str, str]], int | None]:
    """Prose without code fences, the fenced blocks as (language, code), and the line of a fence that is not closed.

    CommonMark 0.31 section 4.5: a fence closes with at least as many of the same character and nothing after them.
    """
    prose: list[str] = []
    blocks: list[tuple[str, str]] = []
    fence, kind, end, opened = "", "", 0, 0
    for found in _FENCE.finditer(text):
        marks, info = found.group(1), found.group(2).strip()
        if not fence:
            if marks[0] == "`" and "`" in info:
                continue  # a span of code, not a fence
            prose.append(text[end : found.start()])
            fence, kind, opened = marks, info.lower(), found.start()
            end = found.end()
        elif marks[0] == fence[0] and len(marks) >= len(fence) and not info:
            blocks.append((kind.split(" ")[0], text[end : found.start()]))
            fence, end = "", found.end()
    if fence:
        return "".join(prose), blocks, text.count("\n", 0, opened) + 1
    prose.append(text[end:])
    return "".join(prose), blocks, None


def _json_depth(text: str) -> int:
    """Brackets that are open at the end of a JSON text; its strings do not count."""
    depth = 0
    for mark in re.findall(r"[{}\[\]]", _JSON_STRING.sub("", text)):
        depth = depth + 1 if mark in "{[" else max(0, depth - 1)
    return depth


def _open_bracket(text: str) -> int | None:
    """Where the last bracket that is not closed stands; None if all are closed."""
    opened: list[int] = []
    for found in _BRACKET.finditer(text):
        if found.group() in _OPENING:
            opened.append(found.start())
        elif opened:
            opened.pop()
    return opened[-1] if opened else None
