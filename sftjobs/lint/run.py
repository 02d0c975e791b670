"""All rules, in the order of their numbers."""

from collections.abc import Iterable

from sftjobs.lint import (
    balance,
    blanks,
    contradictions,
    delimiters,
    form,
    items,
    labels,
    punctuation,
    role_tokens,
    room,
    structure,
    template_marks,
    vague,
)
from sftjobs.lint.facts import Facts
from sftjobs.lint.finding import Finding
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.source import Source

_PROMPT = (
    structure.missing,
    structure.order,
    template_marks.placeholder_mistakes,
    items.bare_items,
    labels.undefined,
    labels.alike,
    punctuation.mixed,
    delimiters.in_worked_examples,
    form.forms,
    contradictions.worked_examples,
    contradictions.contradictions,
    vague.vague,
    role_tokens.role_tokens,
    blanks.blanks,
)
_DATA = (
    labels.labels_in_data,
    delimiters.in_data,
    contradictions.answers_in_data,
    room.room,
    role_tokens.special_tokens,
    room.templates,
    blanks.answer_opening,
    balance.style,
    balance.balance,
)


def lint(prompt: PromptSpec, source: Source | None = None) -> list[Finding]:
    """What the rules find in the prompt alone, by rule; with file and line if `source` is given."""
    return _placed((found for rule in _PROMPT for found in rule(prompt)), source)


def lint_data(prompt: PromptSpec, facts: Facts, source: Source | None = None) -> list[Finding]:
    """What the rules find that need to know the data, by rule."""
    return _placed((found for rule in _DATA for found in rule(prompt, facts)), source)


def _placed(findings: Iterable[Finding], source: Source | None) -> list[Finding]:
    return [found if source is None else found.at(source) for found in findings]
