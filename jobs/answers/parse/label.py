"""One of a fixed set of labels."""

import re
from collections.abc import Mapping

from jobs.answers.parse.base import Parsed, failed, folded, refuses, stripped
from sftjobs.errors import DataError

_LEAD = re.compile(
    r"^(?:the |my )?(?:final |correct |best )?(?:label|answer|intent|class|category|output|result)(?: is)?\s*:?\s*"
    r"|^(?:最终|正确)?(?:标签|答案|类别|分类|意图|结果|输出)(?:结果)?(?:是|为)?\s*:?\s*"
)
_DENIAL = re.compile(r"\b(?:not|no|none|nor|neither|never|cannot|without|\w+n['’]t)\b|[不非没沒未無无]")
"""Words after which a label that the text contains may be what it is not about."""
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_SPREAD = re.compile(rf"(?<={_IDEOGRAPH.pattern}) (?={_IDEOGRAPH.pattern})")
_SENTENCE = re.compile(r"[.!?。;,]\s*\S|\n")


class LabelParser:
    """The label that a text is, or the only one that it names."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        """`labels` with their definitions."""
        if not labels:
            raise DataError("prompt.labels: the output format is label, but the prompt file defines no labels")
        self._labels = set(labels)
        forms: dict[str, list[str]] = {}
        for label in labels:
            forms.setdefault(_plain(label), []).append(label)
        # Two labels that differ in case or punctuation only are never repaired into one another.
        self._plain = {key: found[0] for key, found in forms.items() if len(found) == 1 and key}
        self._within = [(re.compile(_bounded(key)), label) for key, label in self._plain.items()]
        self._definitions = {label: folded(text).strip() for label, text in labels.items() if text.strip()}
        self._longest = max(_size(_plain(label)) for label in labels)

    def __call__(self, text: str) -> Parsed:
        text = text.strip()
        if text in self._labels:
            return Parsed(text, "strict")
        if not text:
            return failed("empty")
        plain = _plain(text)
        label = self._plain.get(plain) or self._plain.get(_LEAD.sub("", plain))
        if label is not None:
            return Parsed(label, "repaired")
        return self._within_text(text, plain)

    def _within_text(self, text: str, plain: str) -> Parsed:
        """The label that the text contains, if it is the only one and the text denies nothing."""
        labels, rest = self._named(folded(text))
        if len(labels) > 1:
            return failed("several_labels")
        if labels:
            label = labels.pop()
            return failed("denied") if self._denies(rest, label) else Parsed(label, "repaired")
        if refuses(text):
            return failed("refusal")
        name = _LEAD.sub("", plain)
        short = 0 < _size(name) <= self._longest and not (_SENTENCE.search(folded(text)) or _DENIAL.search(name))
        return failed("unknown_label" if short else "no_label")

    def _denies(self, rest: str, label: str) -> bool:
        """Whether what is said beside the label denies something; its definition may, in full or as far as it goes."""
        definition = self._definitions.get(label)
        if definition is not None:
            said = rest.strip().lstrip(":-*.\"' ")
            rest = said.removeprefix(definition) if said.startswith(definition) else rest
            rest = "" if len(said) > 1 and definition.startswith(said) else rest
        return _DENIAL.search(rest) is not None

    def _named(self, text: str) -> tuple[set[str], str]:
        """The labels that the text names, and the text without them.

        Labels inside longer ones do not count, nor inside a longer name that is no label: `card_lost_again`.
        """
        found = [(match.start(), match.end(), label) for rx, label in self._within for match in rx.finditer(text)]
        outer = sorted(
            (start, end, label)
            for start, end, label in found
            if not any(a <= start and end <= b and (a, b) != (start, end) for a, b, _ in found)
        )
        rest = text
        for start, end, _ in reversed(outer):  # a label may hold such a word itself
            rest = f"{rest[:start]} {rest[end:]}"
        return {label for _, _, label in outer}, rest


def _plain(text: str) -> str:
    """One form for what people see as the same label: width, case, quotes around it, kind of separator."""
    return stripped(_SPREAD.sub("", re.sub(r"[\s_\-]+", " ", folded(text))))


def _size(text: str) -> int:
    """Words; an ideograph is a word."""
    return len(_IDEOGRAPH.findall(text)) + len(_IDEOGRAPH.sub(" ", text).split())


def _bounded(label: str) -> str:
    """A pattern for the label as a whole name; scripts without blanks between words need no boundary."""
    left = r"(?<![\w-])" if label[0].isascii() else ""
    right = r"(?![\w-])" if label[-1].isascii() else ""
    words = r"[\s_\-]+".join(re.escape(word) for word in label.split(" "))
    return f"{left}{words}{right}"
