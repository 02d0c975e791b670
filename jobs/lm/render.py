"""The one renderer: messages -> token ids and labels, for training, scoring and evaluation alike.

The chat template gives the text; which characters are trained is decided on that text, so no `{% generation %}` markers
are needed. An assistant's turn is everything that a model has to generate after the generation prompt: the answer and
the token that ends the turn. That token is supervised by its place, never by its id: it may also be the padding token.

    text   <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n
    span                                                            ^^^^^^^^^^^^^^^
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from jobs.lm.template import Message, Template, Turns
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
        return sum(label != IGNORE for label in self.labels)


class Renderer:
    """Renders conversations with the chat template of a tokenizer. Raises DataError if it has none that can be used."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        self._template = Template(tokenizer)
        self.template_hash: str = self._template.hash
        """SHA-256 of the template; travels with the model."""
        self.stop_ids: list[int] = self._template.stop_ids
        """Ids that end an answer: the end of the turn, and the end of the text."""

    def render(self, conversations: Sequence[Sequence[Message]]) -> list[Rendered]:
        """Ids and labels; every assistant turn is supervised, with the token that ends it.

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
        return [ids for batch in _batches(texts) for ids in self._encode(batch)]

    def answers(self, answers: Sequence[str]) -> list[list[int]]:
        """Ids of answers as a model would generate them, with the end of the turn."""
        texts = [answer + self._template.end_of_turn for answer in answers]
        return [ids for batch in _batches(texts) for ids in self._encode(batch)]

    def segments(self, conversation: Sequence[Message]) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it is trained; for people to look at."""
        turns = self._template.turns(conversation)
        edges = [0, *(edge for span in turns.spans for edge in span), len(turns.text)]
        pieces = [(turns.text[a:b], i % 2 == 1) for i, (a, b) in enumerate(pairwise(edges))]
        return [piece for piece in pieces if piece[0]]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids

    def _render_batch(self, batch: Sequence[Turns]) -> list[Rendered]:
        encoded = self.tokenizer([turns.text for turns in batch], add_special_tokens=False, return_offsets_mapping=True)
        prompts = self._encode([turns.text[: turns.last_start] for turns in batch])
        whole = zip(batch, encoded["input_ids"], encoded["offset_mapping"], prompts, strict=True)
        return [
            _label(turns, ids, offsets)
            if ids[: len(prompt)] == prompt and len(prompt) <= _first_token(offsets, turns.last_start)
            else self._render_parts(turns, prompt)
            for turns, ids, offsets, prompt in whole
        ]

    def _render_parts(self, turns: Turns, prompt: list[int]) -> Rendered:
        """For the rare text whose last prompt and answer merge into one token: encode the two apart.

        A model meets them apart when it generates, and the prompt must be a prefix.
        """
        start = turns.last_start
        rest = self.tokenizer(turns.text[start:], add_special_tokens=False, return_offsets_mapping=True)
        head = self.tokenizer(turns.text[:start], add_special_tokens=False, return_offsets_mapping=True)
        moved = [(a + start, b + start) for a, b in rest["offset_mapping"]]
        return _label(turns, prompt + rest["input_ids"], head["offset_mapping"] + moved)


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _first_token(offsets: Sequence[tuple[int, int]], character: int) -> int:
    """Index of the first token that reaches beyond `character`."""
    return bisect_right(offsets, character, key=lambda offset: offset[1])


def _label(turns: Turns, ids: list[int], offsets: Sequence[tuple[int, int]]) -> Rendered:
    """Supervise all tokens from the first that reaches into a span to the last that begins in it.

    By index and not by overlap: some tokenizers give blanks an empty range of characters.
    """
    labels = [IGNORE] * len(ids)
    for start, end in turns.spans:
        first, last = _first_token(offsets, start), bisect_left(offsets, end, key=lambda offset: offset[0])
        labels[first:last] = ids[first:last]
    return Rendered(ids, labels)


def common_prefix(ids: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences share at their start; 0 for none."""
    if not ids:
        return 0
    # The smallest and the largest sequence differ first where any two do.
    low, high = min(ids, key=list), max(ids, key=list)
    for i, (a, b) in enumerate(zip(low, high, strict=False)):
        if a != b:
            return i
    return min(len(low), len(high))
