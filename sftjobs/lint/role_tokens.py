"""P14: marks of chat templates inside the text. Real ones end or fake a turn; those of others confuse."""

import re
from collections.abc import Iterator
from typing import Literal

from sftjobs.lint.facts import Facts
from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import definitions, demands
from sftjobs.spec.prompt import PromptSpec

_KNOWN = re.compile(
    r"<\|[a-z_]{2,30}\|>|</?start_of_turn>|<end_of_turn>|\[/?INST\]|<</?SYS>>|<｜[^｜\n]{2,30}｜>"
    r"|(?m:^)#{2,3} ?(?:Instruction|Response|Input|Human|Assistant|指令|回复|回答) ?[:：]"
)
_OPENED = re.compile(r"(?im)^(?:assistant|bot|gpt|ai|助手|客服机器人)[:：][ \t]*\Z")


def _parts(prompt: PromptSpec) -> Iterator[Part]:
    yield from demands(prompt)
    yield from definitions(prompt)
    for index, example in enumerate(prompt.examples):
        yield Part(("examples", index, "output"), example.output)
        yield from (Part(("examples", index, "input", name), value) for name, value in example.input.items())


def role_tokens(prompt: PromptSpec) -> Iterator[Finding]:
    """P14: marks of known templates in the prompt, and a turn of the assistant that is opened by hand."""
    fix = "remove it: the model's chat template opens and closes every turn"
    for part in _parts(prompt):
        for match in _KNOWN.finditer(part.text):
            severity: Literal["error", "warning"] = "warning" if match.group().startswith("#") else "error"
            message = f"'{match.group()}' is a mark of a chat template"
            yield part.finding("P14", severity, message, fix, match.span())
    stripped = prompt.input.rstrip()
    opened = _OPENED.search(stripped)
    if opened:
        message = "the end of input opens the assistant's turn, which the chat template does too"
        yield Part(("input",), prompt.input).finding("P14", "warning", message, fix, opened.span())


def special_tokens(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P14: the model's own special tokens, in the prompt and in the data."""
    for part in _parts(prompt):
        for token in facts.special_tokens:
            start = part.text.find(token) if token.strip() else -1
            if start >= 0 and not _KNOWN.fullmatch(token):
                message = f"'{token}' is a special token of the model"
                yield part.finding("P14", "error", message, "write it in another way", (start, start + len(token)))
    if facts.role_token_examples:
        message = f"{facts.role_token_examples:,} examples hold a special token of the model"
        fix = "remove it from the data; `data.clean.role_tokens: drop` leaves the examples out"
        yield Part((), "").finding("P14", "warning", message, fix)
