"""The texts of a prompt, and their parts that are not prose. Masks keep the length, so that spans stay right."""

import re
from collections.abc import Iterator

from sftjobs.lint.finding import Part
from sftjobs.spec.prompt import PromptSpec

HAN = "\u3400-\u4dbf\u4e00-\u9fff"
"""Chinese characters, for character classes."""
PLACEHOLDER = re.compile(r"\{\{[^{}]*\}\}")
MASK = "\0"
_HAN = re.compile(f"[{HAN}]")
_LATIN = re.compile(r"[A-Za-z]+")
# Fences and code, then JSON and lists (one level inside another), links.
_CODE = [
    re.compile(r"```.*?```", re.DOTALL),
    re.compile(r"`[^`\n]+`"),
    re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}"),
    re.compile(r"\[(?:[^\[\]\n]|\[[^\[\]\n]*\])*\]"),
    re.compile(r"https?://[^\s，。；）】]+"),
]
_QUOTED = re.compile(
    r"“[^”\n]{0,200}”|「[^」\n]{0,200}」|『[^』\n]{0,200}』|‘[^’\n]{0,200}’|\"[^\"\n]{0,200}\"|(?<!\w)'[^'\n]{0,200}'(?!\w)"
)
_SENTENCE = re.compile(r"(?:[^.。!！?？;；\n]|\.(?!\s|$))+[.。!！?？;；]?")


def demands(prompt: PromptSpec) -> list[Part]:
    """Where a prompt says what it wants: system, instruction and input, as far as they are written."""
    written = (("system", prompt.system), ("instruction", prompt.instruction), ("input", prompt.input))
    return [Part((name,), text) for name, text in written if text is not None]


def definitions(prompt: PromptSpec) -> list[Part]:
    """The definitions of the labels."""
    return [Part(("labels", label), meaning) for label, meaning in prompt.labels.items()]


def said(prompt: PromptSpec) -> str:
    """System, instruction and input as one text, placeholders masked."""
    return "\n".join(masked(part.text, PLACEHOLDER) for part in demands(prompt))


def masked(text: str, pattern: re.Pattern[str]) -> str:
    """The text with every match replaced by as many NUL characters."""
    return pattern.sub(lambda match: MASK * len(match.group()), text)


def prose(text: str) -> str:
    """The text without placeholders, code, JSON, lists in brackets and links."""
    text = masked(text, PLACEHOLDER)
    for pattern in _CODE:
        text = masked(text, pattern)
    return text


def unquoted(text: str) -> str:
    """The prose without what is in quotation marks: what is named there is not demanded."""
    return masked(prose(text), _QUOTED)


def is_chinese(text: str) -> bool:
    """At least as many Chinese characters as Latin words."""
    han = len(_HAN.findall(text))
    return han > 0 and han >= len(_LATIN.findall(text))


def size(text: str) -> int:
    """Chinese characters and words of other scripts."""
    return len(_HAN.findall(text)) + len(re.findall(rf"[^\W{HAN}]+", text))


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Start and text of each sentence; a line break ends one."""
    for match in _SENTENCE.finditer(text):
        if match.group().strip():
            yield match.start(), match.group()


def negated(text: str, at: int) -> bool:
    """Is what begins at `at` forbidden rather than demanded? Looks back to the start of the clause."""
    clause = re.split(r"[.,;:。，；：\n]", text[:at])[-1]
    return (
        re.search(r"(?i)\b(?:not|never|no|without|avoid|n't|don't)\b|不|勿|禁止|别|无需|无须|避免", clause) is not None
    )
