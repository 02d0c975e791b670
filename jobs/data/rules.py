"""Every rule that can drop or mark a record: its name, what it means, and the way out when it drops too much.

The order is that in which the funnel shows them. docs/rules/ has a page for each; `sftjobs why` quotes the meaning.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    name: str
    meaning: str
    """What a record did that this rule names."""
    way_out: str
    """What to do if it drops too much."""
    limit: bool = False
    """A number that somebody asked for, and no judgement of the record: does not count for `data.max_dropped`."""


_CLEAN = "set data.clean.{} to flag or off, or change its limit"


def _clean(name: str, meaning: str) -> Rule:
    return Rule(name, meaning, _CLEAN.format(name))


RULES: tuple[Rule, ...] = (
    Rule("bad_record", "the record could not be read", "mend the source, or set data.on_bad_record: stop to see all"),
    Rule("same_id", "another record of the source has the same id", "make the ids unique, or leave columns.id out"),
    Rule("review", "a person dropped it in the review sheet", "change its decision in the sheet of data.corrections"),
    _clean("empty_answer", "the answer is empty"),
    _clean("label", "the answer is none of the prompt's labels"),
    _clean("answer_format", "the answer does not have the form that the prompt file demands"),
    _clean("echo", "the answer repeats the question or the instruction"),
    _clean("length", "the answer is shorter or longer than allowed"),
    _clean("role_tokens", "tokens or headings of a chat template stand inside the text"),
    _clean("unbalanced", "a code fence, bracket or JSON value is opened and not closed"),
    _clean("language", "the answer is in another language than the question"),
    _clean("boilerplate", "the answer is a refusal or talks about being an AI"),
    _clean("alphanumeric", "too few letters, digits and Chinese characters"),
    _clean("repetition", "the text repeats itself"),
    _clean("special_characters", "too many special characters"),
    _clean("flagged_words", "too many words from the list of flagged words"),
    Rule("pii", "personal data or secrets", "set data.clean.pii to mask or flag"),
    _clean("style", "the answer does not follow the style that the prompt file declares"),
    _clean("cut_answer", "the answer stops in the middle of a sentence where many answers stop"),
    _clean("repeated_phrase", "a phrase that stands in many different answers"),
    Rule("duplicate", "the same task and messages came before", "the records repeat each other: look at the source"),
    Rule("near_duplicate", "nearly the same question, with the same answer, came before",
         "raise data.duplicates.threshold, or set data.duplicates.near to flag"),
    Rule("conflict", "the same question has other answers",
         "correct the answers, or set data.duplicates.conflicts: keep"),
    Rule("held_out_exact", "a training example asks what is held out", "give other held-out data"),
    Rule("held_out_ngram", "a training example shares a long passage with what is held out",
         "raise data.decontaminate.words or characters, or waive examples that are harmless"),
    Rule("held_out_near", "a training example asks nearly what is held out",
         "give other held-out data, or waive examples that are harmless"),
    Rule("label_noise", "the words of the question speak for another label",
         "set data.denoise.labels to flag and review the examples"),
    Rule("mismatch", "the words of the answer do not go with those of the question",
         "set data.denoise.answers to flag and review the examples"),
    Rule("too_long", "more tokens than data.max_tokens", "raise data.max_tokens or shorten the prompt"),
    Rule("nothing_to_learn", "no token of the conversation is trained", "every assistant's turn says `train: false`"),
    Rule("max_per_label", "more examples of its label than max_per_label",
         "raise max_per_label of the task", limit=True),
    Rule("max_examples", "more examples than max_examples of the task",
         "raise max_examples of the task (all: no limit)", limit=True),
    Rule("held_out_max", "more held-out examples than data.held_out.max_examples",
         "raise data.held_out.max_examples", limit=True),
    Rule("not_selected", "left out by data.select", "raise data.select.keep", limit=True),
)  # fmt: skip
NAMES: tuple[str, ...] = tuple(rule.name for rule in RULES)
BY_NAME: dict[str, Rule] = {rule.name: rule for rule in RULES}
CODES: dict[str, int] = {name: code for code, name in enumerate(NAMES)}
KEPT = -1
"""Code of a record that no rule has dropped."""
