"""What every engine gives back: one answer per prompt, and what they took."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to one prompt."""

    ids: list[int]
    """Without the token that ended it; empty where an engine gives only text."""
    ended: bool
    """False if it was cut off, at `max_new_tokens` or where the model's context ends."""
    text: str | None = None
    """The answer as the engine decoded it; None: decode `ids`."""


@dataclass(frozen=True, slots=True)
class Generation:
    """All answers, in the order of the prompts, and what they took."""

    answers: list[Answer]
    prefix_tokens: int
    """Tokens at the start of every prompt that were encoded once; of several groups those of the largest."""
    refused: str | None
    """Why the prefix was not shared; None if it could be."""
    prompt_tokens: int
    new_tokens: int
    seconds: float
    beyond_context: int = 0
    """Prompts that left less room than `max_new_tokens` in the model's context: their answers had to be shorter."""
    saved_tokens: int = 0
    """Tokens of prompts that were not encoded again, because another prompt starts with the same."""

    def texts(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        """The answers as the model wrote them: cleaning up blanks before punctuation would change that."""
        ids = [answer.ids for answer in self.answers]
        decoded = tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [own if answer.text is None else answer.text for own, answer in zip(decoded, self.answers, strict=True)]
