"""Rules that look at one example. A rule is a class with a name and `check(view)`: the reason, or None.

text.py says what a rule sees; each rule is one file and has a page in docs/rules/. Repairs change a text before it
becomes an example: repair.py (Unicode) and pii.py (masking). Two rules first look at all answers: cut_answer.py
(find_length_cap) and phrases.py (repeated_phrases).
"""

from jobs.data.clean.alphanumeric import AlphanumericRule
from jobs.data.clean.boilerplate import BoilerplateRule
from jobs.data.clean.echo import EchoRule
from jobs.data.clean.flagged_words import FlaggedWordsRule
from jobs.data.clean.language import LanguageRule
from jobs.data.clean.length import LengthRule
from jobs.data.clean.pii import PiiRule
from jobs.data.clean.repair import repair
from jobs.data.clean.repetition import RepetitionRule
from jobs.data.clean.role_tokens import RoleTokensRule
from jobs.data.clean.special_characters import SpecialCharactersRule
from jobs.data.clean.text import View
from jobs.data.clean.unbalanced import UnbalancedRule

RULES: dict[str, type] = {
    rule.name: rule
    for rule in (
        LengthRule,
        EchoRule,
        RoleTokensRule,
        AlphanumericRule,
        SpecialCharactersRule,
        UnbalancedRule,
        BoilerplateRule,
        FlaggedWordsRule,
        PiiRule,
        RepetitionRule,
        LanguageRule,
    )
}
"""In order of application, cheap ones first. Each takes its own settings, all of which have defaults."""

__all__ = ["RULES", "View", "repair"]
