"""Prompt lint: what makes a prompt harder to follow than it has to be, P01 to P18 (docs/prompt-lint.md).

A finding is advice with a place and a way out; mistakes that make a prompt unusable are problems of
`sftjobs.spec.prompt_rules` and are not repeated here. Every rule reads Chinese and English.
"""

from sftjobs.lint.facts import Collision, Facts
from sftjobs.lint.finding import Finding
from sftjobs.lint.run import lint, lint_data

__all__ = ["Collision", "Facts", "Finding", "lint", "lint_data"]
