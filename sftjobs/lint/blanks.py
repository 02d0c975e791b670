"""P16: white space that nobody sees and that the tokenizer does."""

import re
from collections.abc import Iterator

from sftjobs.lint.facts import Facts
from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import definitions, demands
from sftjobs.spec.prompt import PromptSpec

_LINE_END = re.compile(r"(?<![ \t\u00a0\u3000])[ \t\u00a0\u3000]+(?=\r?\n)")
_ODD = re.compile(r"[\u200b\u200c\u2060\ufeff\u00ad]|\r|\u2028|\u2029")
_NAMES = {
    "\r": "a carriage return",
    "\u00ad": "a soft hyphen",
    "\u2028": "a line separator",
    "\u2029": "a line separator",
}


def blanks(prompt: PromptSpec) -> Iterator[Finding]:
    """P16: blanks at the end of a line, invisible characters, blanks around texts, text that is joined as it is."""
    for part in [*demands(prompt), *definitions(prompt)]:
        for match in _LINE_END.finditer(part.text):
            if part.text[: match.start()].strip():
                message = "white space at the end of a line is a token of its own in many vocabularies"
                yield part.finding("P16", "hint", message, "remove it", match.span())
        for match in _ODD.finditer(part.text):
            what = _NAMES.get(match.group(), "an invisible character")
            message = f"{what}, U+{ord(match.group()):04X}, changes how words around it are cut into tokens"
            yield part.finding("P16", "warning", message, "remove it", match.span())
    for part in demands(prompt):
        yield from _removed(part)
    for index, example in enumerate(prompt.examples):
        part = Part(("examples", index, "output"), example.output)
        if example.output != example.output.strip():
            message = "white space around the answer of a worked example"
            span = (len(example.output.rstrip()), len(example.output))
            yield part.finding("P16", "warning", message, "remove it: answers in the data have none", span)
    for part in definitions(prompt):
        if part.text != part.text.strip():
            message = "white space around a definition stands in the list of labels"
            yield part.finding("P16", "hint", message, "remove it", (0, len(part.text)))


def _removed(part: Part) -> Iterator[Finding]:
    """White space at the end that somebody wrote in quotes; the newline of a YAML block does not count."""
    text = part.text.removesuffix("\n")
    end = text.rstrip()
    if text != end:
        message = "white space at the end is removed before the text is used"
        fix = "remove it; a blank between prompt and answer is the chat template's business"
        yield part.finding("P16", "hint", message, fix, (len(end), len(part.text)))


def answer_opening(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P16: a template that glues the answer to its own text.

    With GPT-2's vocabulary, 2.9 % of 2,000 Alpaca examples then had a token that crosses the boundary, and none where
    the template ended with a newline.
    """
    opening = facts.answer_opening
    if opening and not opening.endswith(("\n", *facts.special_tokens)) and not opening[-1].isspace():
        message = f"the chat template puts the answer right behind '{opening[-20:]}', without newline or special token"
        fix = "end the template's generation prompt with a newline, so that no token crosses the boundary"
        yield Part((), "").finding("P16", "hint", message, fix)
