"""The rules about one example with what the spec says is done about each, ready for many examples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jobs.data.clean import View, repair
from jobs.data.clean.alphanumeric import AlphanumericRule, AlphanumericSettings
from jobs.data.clean.boilerplate import BoilerplateRule
from jobs.data.clean.cut_answer import CutAnswerRule, CutAnswerSettings, ends_open, find_length_cap
from jobs.data.clean.echo import EchoRule
from jobs.data.clean.flagged_words import FlaggedWordsRule, FlaggedWordsSettings
from jobs.data.clean.language import LanguageRule, LanguageSettings
from jobs.data.clean.length import LengthRule, LengthSettings
from jobs.data.clean.phrases import RepeatedPhraseRule, repeated_phrases
from jobs.data.clean.pii import PiiRule, PiiSettings
from jobs.data.clean.repetition import RepetitionRule, RepetitionSettings
from jobs.data.clean.role_tokens import RoleTokensRule, RoleTokensSettings
from jobs.data.clean.special_characters import SpecialCharactersRule, SpecialCharactersSettings
from jobs.data.clean.unbalanced import UnbalancedRule
from jobs.data.examples import Example, question_text
from jobs.data.names import GENERAL
from jobs.data.spool import Finding
from jobs.data.style import StyleChecker
from jobs.data.table import Array, Table
from sftjobs.plan.configs import DataConfig
from sftjobs.spec.clean import CleanSpec
from sftjobs.spec.prompt import PromptSpec, StyleSpec

_LEARN_FROM = 20_000
"""Answers that repeated phrases and a length cap are learned from, spread over all."""
_MOST_CHARACTERS = 100_000
"""Longer answers are not counted for a length cap."""


class CleanRule(Protocol):
    """A rule about one example."""

    name: str

    def check(self, view: View) -> str | None:
        """Why the example breaks the rule; None if it does not."""


def view_of(example: Example, output_format: str) -> View:
    """What the rules look at. A conversation of general data has another form than the prompt file demands."""
    messages = example.messages
    users = tuple(message["content"] for message in messages if message["role"] == "user")
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    form = "free" if example.task == GENERAL and not example.inputs else output_format
    return View(example.inputs or users, answers, messages, example.task, form)  # type: ignore[arg-type]


class Mender:
    """Mends and masks each text of a record, before an example is made of it."""

    def __init__(self, spec: CleanSpec) -> None:
        self._fix = spec.unicode == "fix"
        self._pii = PiiRule(PiiSettings(tuple(spec.pii_kinds))) if spec.pii == "mask" else None

    def __call__(self, text: str) -> str:
        if self._fix:
            text = repair(text)
        return text if self._pii is None else self._pii.mask(text)[0]


class StyleRule:
    """The style that the prompt file declares."""

    name = "style"

    def __init__(self, prompt: PromptSpec) -> None:
        self._checker = StyleChecker(prompt.style, prompt.output)

    def check(self, view: View) -> str | None:
        """What the answer does not follow; None if it follows the style."""
        if view.format == "label" or view.task == GENERAL:
            return None
        return "; ".join(self._checker.check(view.question, view.answer)) or None


def rules(
    spec: CleanSpec, prompt: PromptSpec, special_tokens: Sequence[str], flagged_words: Sequence[str]
) -> list[CleanRule]:
    """The rules that are switched on, in the order in which they are applied: cheap ones first."""
    every: list[CleanRule] = [
        LengthRule(LengthSettings(spec.min_characters, spec.max_characters)),
        EchoRule(),
        RoleTokensRule(RoleTokensSettings(tuple(special_tokens))),
        AlphanumericRule(AlphanumericSettings(spec.min_alphanumeric)),
        SpecialCharactersRule(SpecialCharactersSettings(spec.max_special)),
        UnbalancedRule(),
        BoilerplateRule(),
        *([FlaggedWordsRule(FlaggedWordsSettings(tuple(flagged_words), spec.max_flagged))] if flagged_words else []),
        *([PiiRule(PiiSettings(tuple(spec.pii_kinds)))] if spec.pii != "mask" else []),
        RepetitionRule(RepetitionSettings(spec.max_character_repetition, spec.max_word_repetition)),
        LanguageRule(LanguageSettings(prompt.style.language)),
        *([StyleRule(prompt)] if prompt.style != StyleSpec() else []),
    ]
    return [rule for rule in every if getattr(spec, rule.name) != "off"]


class Checks:
    """All rules that look at one example when it is made."""

    def __init__(self, config: DataConfig, special_tokens: Sequence[str], flagged_words: Sequence[str]) -> None:
        self._spec = config.clean
        self._rules = rules(config.clean, config.prompt, special_tokens, flagged_words)

    def action(self, rule: str) -> str:
        """`stop`, `drop` or `flag`."""
        return "drop" if rule == "review" else str(getattr(self._spec, rule))

    def finding(self, rule: str, reason: str) -> Finding | None:
        """What is found, with what is done about it; None if the rule is off."""
        action = self.action(rule)
        return None if action == "off" else Finding(rule, reason, dropped=action != "flag")

    def findings(self, view: View) -> list[Finding]:
        """What the rules say, up to the first that does not only mark."""
        found: list[Finding] = []
        for rule in self._rules:
            reason = rule.check(view)
            one = None if reason is None else self.finding(rule.name, reason)
            if one is not None:
                found.append(one)
                if one.dropped:
                    break
        return found


@dataclass(frozen=True)
class LateChecks:
    """Rules about one example that need to know all the others first."""

    rules: list[CleanRule]
    spec: CleanSpec

    @classmethod
    def learn(cls, table: Table, config: DataConfig) -> "LateChecks":
        """Look at the answers of the training examples that are kept."""
        spec = config.clean
        rows = table.kept("train")
        found: list[CleanRule] = []
        if config.prompt.output.format == "free" and len(rows):
            rows = rows[:: max(1, len(rows) // _LEARN_FROM)]
            if spec.cut_answer != "off":
                found.append(CutAnswerRule(CutAnswerSettings(_length_cap(table, rows))))
            if spec.repeated_phrase != "off":
                found.append(RepeatedPhraseRule(*repeated_phrases(_pairs(table, rows))))
        return cls(found, spec)

    def findings(self, view: View) -> Iterator[Finding]:
        """What the rules say about one example."""
        for rule in self.rules:
            reason = rule.check(view)
            if reason is not None:
                yield Finding(rule.name, reason, dropped=getattr(self.spec, rule.name) != "flag")


def _length_cap(table: Table, rows: Array) -> int | None:
    """Of answers that end in the middle of a sentence: canned answers of one length are no cut."""
    answers = (example.answer for example, _ in table.examples(rows))
    lengths = [len(answer) for answer in answers if ends_open(answer) and len(answer) < _MOST_CHARACTERS]
    return find_length_cap(np.bincount(np.array(lengths, np.int64)).tolist()) if lengths else None


def _pairs(table: Table, rows: Array) -> Callable[[], Iterator[tuple[str, str]]]:
    return lambda: ((question_text(example), example.answer) for example, _ in table.examples(rows))
