"""P12: words that leave open what is meant. People fill them with what they know; a model learns to guess."""

import re
from collections.abc import Iterator

from sftjobs.lint.finding import Finding
from sftjobs.lint.text import definitions, demands, unquoted
from sftjobs.spec.prompt import PromptSpec

# In definitions only the open lists: there, words such as 合理 describe the data and demand nothing.
_OPEN = re.compile(r"(?i)(?<!\w)(?:etc\b\.?|and so on\b|and so forth\b|and the like\b|or something\b)|等等|之类(?:的)?")
_LOOSE = re.compile(
    r"(?i)(?<!\w)(?:appropriate(?:ly)?|suitabl[ey]|properly|reasonabl[ey]|adequate(?:ly)?|sufficient(?:ly)?|"
    r"as (?:needed|necessary|required|appropriate)|if (?:needed|necessary|possible|appropriate)|"
    r"where (?:possible|appropriate)|when (?:possible|necessary|appropriate)|as (?:much|far) as possible|try to)\b"
    r"|(?<!不)(?:适当|恰当|妥善|酌情|合适的?)|尽量|尽可能|视情况|必要时|如有必要|如有需要|根据需要|根据情况|差不多"
    r"|(?<!不)合理(?:地|的)"
)


def vague(prompt: PromptSpec) -> Iterator[Finding]:
    """P12: each such word once per text. Labels, quotations, code and data are not looked at."""
    parts = [(part, pattern) for part in demands(prompt) for pattern in (_OPEN, _LOOSE)]
    for part, pattern in [*parts, *((part, _OPEN) for part in definitions(prompt))]:
        seen = set()
        for match in pattern.finditer(unquoted(part.text)):
            word = match.group().strip()
            if word.lower() in seen:
                continue
            seen.add(word.lower())
            if pattern is _OPEN:
                message, fix = (
                    f"'{word}' leaves open what else belongs here",
                    "list what you mean, or name what it has in common",
                )
            else:
                message, fix = f"'{word}' leaves open what is right", "say what counts, or give a number or a rule"
            yield part.finding("P12", "hint", message, fix, match.span())
