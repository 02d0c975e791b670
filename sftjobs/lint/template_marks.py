"""P03 placeholders that are none, or are not used."""

import re
from collections.abc import Iterator

from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import HAN, PLACEHOLDER, demands, masked, said
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.template import LABELS, placeholders

_SINGLE = re.compile(rf"(?<!\{{)\$?\{{\s*([A-Za-z_{HAN}][\w{HAN}]{{0,40}})\s*\}}(?!\}})")
_STATEMENT = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_FILTER = re.compile(r"\{\{[^{}]*[|()][^{}]*\}\}")


def placeholder_mistakes(prompt: PromptSpec) -> Iterator[Finding]:
    """P03: single braces, filters and statements of other template languages, open braces, labels without use."""
    columns = placeholders(prompt.input)
    for part in demands(prompt):
        for match in _SINGLE.finditer(part.text):
            name = match.group(1)
            # In the other parts single braces are mostly a pattern of the answer.
            if part.place == ("input",) or name in columns or name == LABELS:
                message = f"{match.group()} is not a placeholder: the model sees the braces"
                named = f"{{{{ {name} }}}}" if part.place == ("input",) or name == LABELS else f"the {name} below"
                yield part.finding("P03", "warning", message, f"write {named}", match.span())
        for match in [*_STATEMENT.finditer(part.text), *_FILTER.finditer(part.text)]:
            message = "nothing but {{ column }} is special in a prompt: no statements, filters or calls"
            yield part.finding("P03", "warning", message, "prepare the value in a column of the data", match.span())
        yield from _open_braces(part)
    if LABELS in columns:
        message = "in input, {{ labels }} is a column of the data, not the list of labels"
        fix = "put the list into `instruction`, or rename the column with `columns.inputs` in run.yaml"
        start = next(m for m in PLACEHOLDER.finditer(prompt.input) if m.group()[2:-2].strip() == LABELS)
        yield Part(("input",), prompt.input).finding("P03", "warning", message, fix, start.span())
    yield from _unused_labels(prompt)


def _open_braces(part: Part) -> Iterator[Finding]:
    """`{{` that no `}}` closes. JSON in a prompt has `}}` at its end, so only unpaired ones count."""
    text = masked(part.text, PLACEHOLDER)
    for match in re.finditer(r"\{\{(?!\s*[\"'])", text):
        message = "{{ is opened and not closed: it stays as it is"
        fix = "close it with }} right behind the name of the column"
        end = min(match.start() + 12, *(i for i in (text.find("\n", match.start()), len(text)) if i >= 0))
        yield part.finding("P03", "warning", message, fix, (match.start(), end))
    for match in re.finditer(r"\}\}", text):
        before = text[: match.start()]
        if before.count("{") <= before.count("}"):
            message = "}} closes nothing: it stays as it is"
            yield part.finding("P03", "warning", message, "open it with {{, or remove it", match.span())


def _unused_labels(prompt: PromptSpec) -> Iterator[Finding]:
    if not prompt.labels or prompt.output.format == "label":
        return  # for format label, P01 says it
    used = any(LABELS in placeholders(text or "") for text in (prompt.system, prompt.instruction))
    if not used and not any(label in said(prompt) for label in prompt.labels):
        message = (
            f"labels are defined, but output format {prompt.output.format} does not use them and no text shows them"
        )
        fix = "set `output: {format: label}`, put {{ labels }} into `instruction`, or remove `labels`"
        yield Part(("labels",), "").finding("P03", "hint", message, fix)
