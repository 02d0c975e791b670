"""Right or wrong: the answer against the expected one, and its format."""

from jobs.answers.metrics.base import Answered
from jobs.answers.same import same


def accuracy(one: Answered) -> bool:
    """The answer, repaired where that needs no guess, is the expected one."""
    return one.found.how != "failed" and same(one.found.value, one.expected.value)


def exact_match(one: Answered) -> bool:
    """The answer is in the format as it stands, and it is the expected one (blanks around it aside)."""
    return one.found.how == "strict" and same(one.found.value, one.expected.value)


def in_format(one: Answered) -> bool:
    """The answer is in the output format as it stands: a label, JSON of the schema, text of the pattern, any text."""
    return one.found.how == "strict"
