"""The one renderer: messages -> token ids and labels, for training, scoring and evaluation alike.

The chat template gives the text; which characters are trained is decided on that text, so no `{% generation %}` markers
are needed. An assistant's turn is everything that a model has to generate after the generation prompt: the answer and
the token that ends the turn. That token is supervised by its place, never by its id: it may also be the padding token.

    text   <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n
    span                                                            ^^^^^^^^^^^^^^^
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from jobs.lm.encode import Encoded, Encoder
from jobs.lm.message import Message
from jobs.lm.spans import shared_start
from jobs.lm.template import Template, Turns
from jobs.lm.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["IGNORE", "Message", "Rendered", "Renderer", "common_prefix", "load_tokenizer"]

_T = TypeVar("_T")

IGNORE = -100
"""Label of a token without loss (the convention of torch.nn.CrossEntropyLoss)."""

_BATCH = 1024  # conversations per call of the tokenizer: bounds the memory for offsets


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as tokens."""

    ids: list[int]
    labels: list[int]
    """`ids` where there is loss, else IGNORE. Not shifted: the model's loss does that."""

    @property
    def supervised_tokens(self) -> int:
        return len(self.labels) - self.labels.count(IGNORE)


class Renderer:
    """Renders conversations with the chat template of a tokenizer. Raises DataError if that cannot be used.

    A tokenizer without a template gets a plain one, which is saved with it.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        self._template = Template(tokenizer)
        self._encoder = Encoder(tokenizer, self._template.opening)
        self.template_hash: str = self._template.hash
        """SHA-256 of the template; travels with the model."""
        self.stop_ids: list[int] = self._template.stop_ids
        """Ids that end an answer: the end of the turn, and the end of the text."""
        self.warning: str | None = self._template.warning
        """What a person should know about the template; None for nothing."""

    def render(self, conversations: Sequence[Sequence[Message]]) -> list[Rendered]:
        """Ids and labels; every assistant turn is supervised with the token that ends it, but those with `train` False.

        Raises DataError if a conversation cannot be rendered, e.g. roles in an order the template refuses.
        """
        return [
            rendered
            for batch in _batches(conversations)
            for rendered in self._render_batch([self._template.turns(conversation) for conversation in batch])
        ]

    def prompts(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Ids up to and including the generation prompt of the last assistant turn: a prefix of `render`'s ids.

        The answer itself has no influence; it may be missing.
        """
        texts = [self._template.prompt(conversation) for conversation in conversations]
        return [ids for batch in _batches(texts) for ids in self._encoder.ids(batch)]

    def answers(self, answers: Sequence[str]) -> list[list[int]]:
        """Ids of answers as a model would generate them, with the end of the turn."""
        texts = [answer + self._template.end_of_turn for answer in answers]
        return [ids for batch in _batches(texts) for ids in self._encoder.ids(batch)]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return [len(ids) for batch in _batches(texts) for ids in self._encoder.ids(batch)]

    def segments(self, conversation: Sequence[Message]) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it is trained; for people to look at."""
        turns = self._template.turns(conversation)
        edges = [0, *(edge for span in turns.spans for edge in span), len(turns.text)]
        pieces = [(turns.text[a:b], i % 2 == 1) for i, (a, b) in enumerate(pairwise(edges))]
        return [piece for piece in pieces if piece[0]]

    def _render_batch(self, batch: Sequence[Turns]) -> list[Rendered]:
        until = min(turns.spans[0][0] if turns.spans else turns.last_start for turns in batch)
        encoded = self._encoder.encode([turns.text for turns in batch], until)
        rendered = [_label(turns.spans, one) for turns, one in zip(batch, encoded, strict=True)]
        unsure = [
            i
            for i, (turns, one) in enumerate(zip(batch, encoded, strict=True))
            if not self._encoder.begins_with_prompt(one, turns.text, turns.last_start)
        ]
        prompts = self._encoder.ids([batch[i].text[: batch[i].last_start] for i in unsure])
        for i, prompt in zip(unsure, prompts, strict=True):
            first = encoded[i].first_after(batch[i].last_start)
            if len(prompt) > first or encoded[i].ids[: len(prompt)] != prompt:
                rendered[i] = self._render_parts(batch[i])
        return rendered

    def _render_parts(self, turns: Turns) -> Rendered:
        """For the rare text whose last prompt and answer merge into one token: encode the two apart.

        A model meets them apart when it generates, and the prompt must be a prefix.
        """
        start = turns.last_start
        head, rest = self._encoder.encode([turns.text[:start], turns.text[start:]], 0)
        before = _label([span for span in turns.spans if span[0] < start], head)
        after = _label([(a - start, b - start) for a, b in turns.spans if a >= start], rest)
        return Rendered(before.ids + after.ids, before.labels + after.labels)


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _label(spans: Sequence[tuple[int, int]], encoded: Encoded) -> Rendered:
    """Supervise all tokens from the first that reaches into a span to the last that begins in it.

    By index and not by overlap: some tokenizers give blanks an empty range of characters.
    """
    ids = encoded.ids
    labels = [IGNORE] * len(ids)
    for start, end in spans:
        first, last = encoded.first_after(start), encoded.first_from(end)
        labels[first:last] = ids[first:last]
    return Rendered(ids, labels)


def common_prefix(ids: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences share at their start; 0 for none."""
    if not ids:
        return 0
    # The smallest and the largest sequence differ first where any two do.
    low, high = min(ids, key=list), max(ids, key=list)
    return shared_start(low, high)
