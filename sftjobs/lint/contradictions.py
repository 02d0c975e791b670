"""P10 answers that are not as the prompt asks, P11 demands that cannot all be met."""

import re
from collections.abc import Iterator

from sftjobs.lint.facts import Facts
from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.lengths import Demand, Unit, languages, lengths
from sftjobs.lint.text import demands, is_chinese, negated, sentences, unquoted
from sftjobs.spec.prompt import PromptSpec

_BRIEF = re.compile(
    r"(?i)\b(?:brief(?:ly)?|concise(?:ly)?|succinct(?:ly)?|keep (?:it|answers?|replies) short)\b"
    r"|(?:简短|简洁|简要|简明)(?:地|扼要)?(?:地)?(?:回答|解释|说明|描述|回复|答复|作答)|言简意赅|(?:回答|回复|答复)要?(?:尽量)?(?:简短|简洁)"
)
_DETAILED = re.compile(
    r"(?i)\bin (?:great |full )?detail\b|\b(?:detailed|comprehensive|thorough|exhaustive) "
    r"(?:answers?|repl(?:y|ies)|explanations?|responses?|descriptions?)\b|\bcomprehensively\b|\bthoroughly\b"
    r"|(?:详细|详尽|全面|深入)(?:地)?(?:回答|解释|说明|描述|阐述|介绍|论述|解答|回复)|(?:回答|回复|答复)要?(?:尽量)?(?:详细|详尽|全面)"
)
_LANGUAGES = {"zh": "Chinese", "en": "English"}


def contradictions(prompt: PromptSpec) -> Iterator[Finding]:
    """P11: lengths that exclude each other, short and detailed, two languages; also against `style`."""
    seen: list[Demand] = []
    for demand in lengths(prompt):
        other = next((one for one in seen if _clash(one, demand)), None)
        if other is not None:
            quoted = other.part.text[slice(*other.span)]
            message = f"does not agree with '{quoted}' in {other.part.place[0]}"
            fix = "keep one of them, or say what each is the length of"
            yield demand.part.finding("P11", "warning", message, fix, demand.span)
        seen.append(demand)
        yield from _against_style(prompt, demand)
    yield from _tone(prompt)
    spoken = languages(prompt)
    declared = _LANGUAGES.get(prompt.style.language or "")
    for i, language in enumerate(spoken):
        earlier = [one.name for one in spoken[:i] if one.name != language.name]
        if earlier:
            message, fix = f"asks for answers in {language.name}, and before in {earlier[0]}", "keep one of them"
            yield language.part.finding("P11", "warning", message, fix, language.span)
        elif declared not in (None, language.name):
            message = f"asks for answers in {language.name}, and style.language is {prompt.style.language}"
            yield language.part.finding("P11", "warning", message, "say the same in both places", language.span)


def _clash(first: Demand, second: Demand) -> bool:
    """About the same, and no answer meets both, or two different upper or lower bounds."""
    if (first.unit, first.subject) != (second.unit, second.subject):
        return False
    if max(first.least, second.least) > min(first.most, second.most):
        return True
    infinite = float("inf")
    two_upper = infinite not in (first.most, second.most) and first.most != second.most
    two_lower = 0 not in (first.least, second.least) and first.least != second.least
    return two_upper or two_lower


def _against_style(prompt: PromptSpec, demand: Demand) -> Iterator[Finding]:
    style = prompt.style
    if (demand.unit, demand.subject) != ("characters", "answer"):
        return
    if (style.min_characters or 0) > demand.most or (style.max_characters or demand.least) < demand.least:
        declared = f"{style.min_characters or 0} to {style.max_characters or 'any number of'}"
        message = f"no answer has this length and the {declared} characters of `style`"
        yield demand.part.finding("P11", "warning", message, "say the same in both places", demand.span)


def _tone(prompt: PromptSpec) -> Iterator[Finding]:
    brief, detailed = _first(prompt, _BRIEF), _first(prompt, _DETAILED)
    if brief and detailed:
        part, span = max(brief, detailed, key=lambda found: (demands(prompt).index(found[0]), found[1]))
        message = "the prompt asks for short and for detailed answers"
        yield part.finding("P11", "hint", message, "give the length instead, for example: in at most 80 words", span)


def _first(prompt: PromptSpec, pattern: re.Pattern[str]) -> tuple[Part, tuple[int, int]] | None:
    for part in demands(prompt):
        text = unquoted(part.text)
        for match in pattern.finditer(text):
            if not negated(text, match.start()):
                return part, match.span()
    return None


def measure(text: str, unit: Unit) -> int:
    """Length of a text in a unit. Characters without white space, as people count Chinese text."""
    if unit == "characters":
        return len(re.sub(r"\s", "", text))
    return len(text.split()) if unit == "words" else sum(1 for _ in sentences(text))


def worked_examples(prompt: PromptSpec) -> Iterator[Finding]:
    """P10: worked examples that do not do what the text asks for (their format is checked before)."""
    asked = [one for one in lengths(prompt) if one.subject == "answer"]
    language = {one.name for one in languages(prompt)}
    for index, example in enumerate(prompt.examples):
        part = Part(("examples", index, "output"), example.output)
        whole = (0, len(example.output))
        for demand in asked:
            length = measure(example.output, demand.unit)
            if not demand.least <= length <= demand.most and prompt.output.format == "free":
                message = f"has {length} {demand.unit}, and the prompt asks for '{_text(demand)}'"
                yield part.finding("P10", "warning", message, "shorten or lengthen the example, or the demand", whole)
        if language and prompt.output.format == "free" and re.search(r"\w{3}|[\u4e00-\u9fff]", example.output):
            spoken = "Chinese" if is_chinese(example.output) else "English"
            if language <= {"Chinese", "English"} and spoken not in language:
                message = f"is not in {next(iter(language))}, which the prompt asks for"
                yield part.finding("P10", "warning", message, "write the example in that language", whole)


def answers_in_data(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P10: answers in the data that break the output format, or the length that the text asks for."""
    if facts.malformed_answers:
        reason = f", for example: {facts.malformed_reason}" if facts.malformed_reason else ""
        message = f"{facts.malformed_answers:,} answers are not in the output format {prompt.output.format}{reason}"
        fix = "correct the data or `output`; `data.clean.answer_format: drop` leaves them out"
        yield Part(("output",), "").finding("P10", "error", message, fix)
    longest = {"characters": facts.longest_answer_characters, "words": facts.longest_answer_words}
    for demand in lengths(prompt):
        found = longest.get(demand.unit) if demand.subject == "answer" else None
        if found is not None and found > demand.most and prompt.output.format == "free":
            message = f"the longest answer has {found:,} {demand.unit}, and the prompt asks for '{_text(demand)}'"
            fix = "set `style.max_characters`, so that such answers are marked, or change the demand"
            yield demand.part.finding("P10", "warning", message, fix, demand.span)


def _text(demand: Demand) -> str:
    return demand.part.text[slice(*demand.span)]
