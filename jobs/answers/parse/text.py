"""Text that matches a pattern, and any text."""

import re
import unicodedata

from jobs.answers.parse.base import Parsed, Parser, failed, refuses
from sftjobs.errors import DataError

_LEAD = re.compile(
    r"^(?:(?:the )?(?:final )?(?:answer|output|result)(?: is)?|(?:最终)?(?:答案|结果|输出)(?:是|为)?)\s*[:：]?\s*",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```[ \t]*[A-Za-z0-9]*[ \t]*\n?(.*?)\n?[ \t]*```", re.DOTALL)
_AROUND = "\"'`*“”‘’「」『』《》 \t\n"


def pattern_parser(pattern: str | None) -> Parser:
    """The whole text matches the pattern; quotes, a fence, `Answer:`, a full stop or another width may be around it."""
    try:
        compiled = re.compile(pattern or "")
    except re.error as error:
        raise DataError(f"prompt.output.pattern: {pattern!r} is not a Python pattern: {error}") from None

    def parse(text: str) -> Parsed:
        text = text.strip()
        if compiled.fullmatch(text):
            return Parsed(text, "strict")
        if not text:
            return failed("empty")
        found = {form for form in _forms(text) if compiled.fullmatch(form)}
        if len(found) == 1:
            return Parsed(found.pop(), "repaired")
        return failed("refusal" if refuses(text) else "pattern")

    return parse


def _forms(text: str) -> list[str]:
    """The same text with less around it. A form is tried only where the one before does not match."""
    fence = _FENCE.fullmatch(text)
    inner = fence.group(1).strip() if fence else text
    bare = inner.strip(_AROUND)
    answer = _LEAD.sub("", bare).strip(_AROUND)
    ended = answer.rstrip(".。!！;；").strip(_AROUND)
    return [inner, bare, answer, ended, unicodedata.normalize("NFKC", ended)]


def any_text(text: str) -> Parsed:
    """Any text but none."""
    text = text.strip()
    return Parsed(text, "strict") if text else failed("empty")
