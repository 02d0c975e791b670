"""P05 labels without a useful definition, P06 labels that are easily taken for each other."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from sftjobs.lint.facts import Facts
from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import definitions, is_chinese
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.words import nearest

_SHORT, _SHORT_CHINESE = 8, 4  # characters
_LONG_ENOUGH = 7  # letters: shorter words that differ by one letter are mostly different words


def undefined(prompt: PromptSpec) -> Iterator[Finding]:
    """P05: a definition that is missing, repeats the label, or has fewer than 8 characters (4 in Chinese)."""
    fix = "say in one or two sentences what belongs to it, and where it ends"
    for part in definitions(prompt):
        label, meaning = str(part.place[-1]), part.text.strip()
        if not meaning or folded(meaning) == folded(label):
            what = "repeats the label" if meaning else "is empty"
            yield part.finding("P05", "warning", f"the definition of {label!r} {what}", fix)
        elif len(meaning) < (_SHORT_CHINESE if is_chinese(meaning) else _SHORT):
            message = f"the definition of {label!r} has only {len(meaning)} characters"
            yield part.finding("P05", "warning", message, fix, (0, len(part.text)))


def folded(label: str) -> str:
    """The label without case, character width, spacing, hyphens and underscores."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", label).casefold())


def alike(prompt: PromptSpec) -> Iterator[Finding]:
    """P06: labels that differ only in case, width, spacing or one letter, and labels with the same definition."""
    labels = list(prompt.labels)
    for group in _groups(labels, folded):
        message = f"{_named(group)} differ only in case, width or spacing"
        yield Part(("labels", group[-1]), "").finding("P06", "error", message, "keep one of them")
    for group in _groups(labels, lambda label: " ".join(prompt.labels[label].casefold().split())):
        if prompt.labels[group[0]].strip():
            fix = "say what tells them apart, or keep one of them"
            yield Part(("labels", group[-1]), "").finding(
                "P06", "warning", f"{_named(group)} have the same definition", fix
            )
    for i, first in enumerate(labels):
        for second in labels[i + 1 :]:
            if one_letter_apart(folded(first), folded(second)):
                message = f"{first!r} and {second!r} differ by one letter"
                fix = "keep one of them, or give one another name"
                yield Part(("labels", second), "").finding("P06", "warning", message, fix)


def one_letter_apart(first: str, second: str) -> bool:
    """One letter more inside or at the end (refund, refunds). An exchanged letter is mostly meant: type_a, type_b."""
    short, long = sorted((first, second), key=len)
    if len(long) != len(short) + 1 or len(short) < _LONG_ENOUGH - 1 or short[0] != long[0]:
        return False
    at = next((i for i, letter in enumerate(short) if letter != long[i]), len(short))
    return long[at].isascii() and long[at].isalpha() and long[at + 1 :] == short[at:]


def labels_in_data(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P06: answers that are none of the labels."""
    if prompt.output.format != "label":
        return
    names = {folded(label): label for label in prompt.labels}
    for answer, count in facts.labels.items():
        if answer in prompt.labels or not count:
            continue
        same = names.get(folded(answer))
        meant = same or nearest(answer, prompt.labels)
        told = f"; {meant!r} differs only in case, width or spacing" if same else ""
        fix = f"write {meant!r} in the data" if meant else "correct the data, or add it to `labels`"
        if same:
            fix += ", or set `data.clean.label: fix`"
        message = f"{count:,} examples have the answer {answer!r}, which is none of the labels{told}"
        yield Part(("labels",), "").finding("P06", "error", message, fix)


def _groups(labels: Iterable[str], key: Callable[[str], str]) -> Iterator[list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        found[key(label)].append(label)
    yield from (group for same, group in found.items() if same and len(group) > 1)


def _named(labels: list[str]) -> str:
    return " and ".join(repr(label) for label in labels)
