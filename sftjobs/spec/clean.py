"""`data.clean`: the rules that look at one example, each with its own action and limits (docs/rules/)."""

from typing import Annotated, Literal

from pydantic import Field

from sftjobs.model import Document
from sftjobs.spec.numbers import Share

Action = Literal["stop", "drop", "flag", "off"]
"""`stop`: a mistake that a person has to mend; `drop`: leave out, count, say why in the ledger; `flag`: keep, and mark
in the ledger and the review sheet; `off`: do not look."""
PiiKind = Literal["cn_id", "phone", "bank_card", "email", "ip", "secret"]
PII_KINDS: list[PiiKind] = ["cn_id", "phone", "bank_card", "email", "ip", "secret"]


class CleanSpec(Document):
    """Rules that look at one example. Each rule has an action: stop, drop, flag or off (docs/rules/)."""

    unicode: Literal["fix", "off"] = "fix"
    """Mend text that was decoded with a wrong encoding, and remove control and stray zero-width characters."""
    empty_answer: Action = "stop"
    """The answer is empty or white space."""
    label: Literal["stop", "drop", "fix"] = "stop"
    """An answer that is none of the prompt's labels. `fix` takes the label that differs only in case or width."""
    answer_format: Action = "stop"
    """An answer that is not JSON, breaks the schema or does not match the pattern that the prompt file demands."""
    echo: Action = "drop"
    """The answer repeats the question or the instruction."""
    cut_answer: Action = "drop"
    """The answer stops in the middle of a sentence at the length where many answers stop."""
    unbalanced: Action = "flag"
    """A code fence, bracket or JSON value that is opened in the answer and not closed."""
    language: Action = "flag"
    """The answer is in another language than the question."""
    role_tokens: Action = "drop"
    """Tokens or headings of a chat template inside the text."""
    boilerplate: Action = "flag"
    """Refusals and talk about being an AI in the answer."""
    repeated_phrase: Action = "flag"
    """A phrase that stands in many otherwise different answers."""
    style: Action = "flag"
    """The answer does not follow the style that the prompt file declares."""
    length: Action = "drop"
    """The answer has fewer than `min_characters` or more than `max_characters`."""
    min_characters: Annotated[int, Field(ge=1)] = 1
    """For `length`, of the answer."""
    max_characters: Annotated[int, Field(ge=1)] | None = None
    """For `length`, of the answer; unset means no limit."""
    alphanumeric: Action = "drop"
    """Too small a share of letters, digits and Chinese characters."""
    min_alphanumeric: Share = 0.1
    """For `alphanumeric`."""
    repetition: Action = "drop"
    """The text repeats itself."""
    max_character_repetition: Share = 0.6
    """For `repetition`: share of the most frequent sequences of 10 characters."""
    max_word_repetition: Share = 0.5
    """For `repetition`: share of sequences of 10 words (in Chinese and Japanese of 10 letters) that occur more than
    once."""
    special_characters: Action = "flag"
    """Too large a share of characters that are neither letters, digits nor white space."""
    max_special: Share = 0.4
    """For `special_characters`."""
    flagged_words: Action = "drop"
    """Too large a share of words from `flagged_words_file`."""
    flagged_words_file: str | None = None
    """Text file with one word per line, zh and en; unset means that the rule does nothing."""
    max_flagged: Share = 0.017
    """For `flagged_words`."""
    pii: Literal["mask", "drop", "flag", "off"] = "flag"
    """Personal data and secrets; `mask` puts a placeholder in their place."""
    pii_kinds: list[PiiKind] = PII_KINDS
    """For `pii`: Chinese resident ID, phone, bank card, e-mail, IP address, API keys and passwords."""
