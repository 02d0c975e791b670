"""P17 answers that are not written in one style, P18 labels or difficulties out of balance."""

from collections.abc import Iterator, Mapping

from sftjobs.lint.facts import Facts
from sftjobs.lint.finding import Finding, Part
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.words import listed

_FOLLOWS = 0.95
_FEW, _RATIO = 10, 10  # examples of a label; most frequent : rarest
_MOST, _LEAST = 0.8, 0.05  # share of one difficulty
_MANY = 6


def style(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P17: fewer than 95 % follow the declared style; without one, what answers differ in."""
    place = Part(("style",), "")
    if facts.style_follows is not None:
        if facts.style_follows < _FOLLOWS:
            why = f": {listed(facts.style_reasons, 'and')}" if facts.style_reasons else ""
            message = f"only {facts.style_follows:.0%} of the answers follow `style`{why}"
            fix = "correct the answers (`data.clean.style: drop` leaves the others out), or change `style`"
            yield place.finding("P17", "warning", message, fix)
        return
    for reason in facts.style_reasons:
        fix = "decide for one way and rewrite the others, or declare it in `style` and leave out what differs"
        yield place.finding("P17", "hint", f"answers are not written in one style: {reason}", fix)


def balance(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P18: rare labels, more than 10 : 1 between labels; one difficulty above 80 % or below 5 %."""
    if prompt.output.format == "label" and facts.labels:
        yield from _labels({label: facts.labels.get(label, 0) for label in prompt.labels})
    total = sum(facts.difficulties.values())
    for level, count in facts.difficulties.items():
        share = count / total if total else 0
        if len(facts.difficulties) > 1 and share > _MOST:
            message = f"{share:.0%} of the examples have the difficulty {level!r}"
            fix = "add examples of the others, boundary cases first, or set data.select.per_difficulty: balanced"
            yield Part((), "").finding("P18", "hint", message, fix)
        elif len(facts.difficulties) > 1 and share < _LEAST:
            message = f"only {share:.1%} of the examples have the difficulty {level!r}"
            yield Part((), "").finding("P18", "hint", message, "add examples of it")


def _labels(counts: Mapping[str, int]) -> Iterator[Finding]:
    place = Part(("labels",), "")
    few = sorted((label for label, count in counts.items() if count < _FEW), key=lambda label: counts[label])
    if few:
        named = [f"{label} ({counts[label]})" for label in few[:_MANY]]
        more = [f"{len(few) - _MANY} more"] if len(few) > _MANY else []
        message = f"fewer than {_FEW} examples of {listed([*named, *more], 'and')}"
        yield place.finding("P18", "warning", message, "add examples, or merge the label with another")
    enough = {label: count for label, count in counts.items() if count >= _FEW}
    if len(enough) > 1:
        most, least = max(enough, key=lambda label: enough[label]), min(enough, key=lambda label: enough[label])
        if enough[most] > _RATIO * enough[least]:
            message = f"{most} has {enough[most]:,} examples and {least} has {enough[least]:,}, more than {_RATIO} : 1"
            fix = "set data.select.per_label: balanced or max_per_label, or add examples"
            yield place.finding("P18", "warning", message, fix)
