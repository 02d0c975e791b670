"""Texts to token ids in batches, with as little work as gives exactly the ids of `tokenizer(text)`.

A tokenizer cuts a text at its special tokens first and encodes the pieces one by one. So what stands before a special
token is encoded alike whatever follows, and what follows it alike whatever stands before. Two things come of this: what
all texts of a batch share at their start is encoded once, and a prompt is known to be a prefix of the ids of its
conversation without being encoded again. Both are checked on what comes out; where a check fails, the way is the long
one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.lm.spans import shared_start

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LEAST_SHARED = 32  # characters at the start of every text that are worth two more calls
_LEAST_TEXTS = 4


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as ids. The first `known` ids, of the characters before `offset`, were encoded with other texts."""

    ids: list[int]
    rest: Any
    """tokenizers.Encoding of the characters from `offset` on; no other character may be asked for."""
    known: int = 0
    offset: int = 0

    def first_after(self, character: int) -> int:
        """Index of the first token that reaches beyond `character`."""
        token: int | None = self.rest.char_to_token(character - self.offset)
        if token is None:  # some tokenizers count blanks to no token
            token = bisect_right(self.rest.offsets, character - self.offset, key=lambda place: place[1])
        return self.known + token

    def first_from(self, character: int) -> int:
        """Index of the first token that begins at `character` or later; the one before it has to be a special token."""
        token: int | None = self.rest.char_to_token(character - self.offset - 1)
        if token is None:
            return self.known + bisect_left(self.rest.offsets, character - self.offset, key=lambda place: place[0])
        return self.known + token + 1


class Encoder:
    """Encodes texts without adding special tokens."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", opening: str) -> None:
        """`opening`: what stands between the last question and its answer; its special tokens are where texts are cut.

        Whether the tokenizer may be treated like this is seen from its tokens: see `_cuts`.
        """
        self._tokenizer = tokenizer.backend_tokenizer
        self._cuts = _cuts(tokenizer, opening)
        self._anchor = max(self._cuts, key=opening.rfind, default="")
        self._tail = opening.rpartition(self._anchor)[2] if self._anchor else ""
        """The end of every prompt, after its last special token."""
        # A tokenizer.json can ask for a length, as its author last used it; a conversation is encoded in full.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tail_ids = self._encode([self._anchor + self._tail])[0].ids[1:] if self._anchor else []

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text."""
        return [encoded.ids for encoded in self.encode(texts, min(map(len, texts), default=0))]

    def encode(self, texts: Sequence[str], until: int) -> list[Encoded]:
        """Ids and places of each text; the places of characters before `until` will not be asked for."""
        cut = self._shared(texts, until)
        if not cut:
            return [Encoded(one.ids, one) for one in self._encode(texts)]
        head: list[int] = self._encode([texts[0][:cut]])[0].ids
        rests = self._encode([text[cut:] for text in texts])
        return [Encoded(head + rest.ids, rest, len(head), cut) for rest in rests]

    def begins_with_prompt(self, encoded: Encoded, text: str, start: int) -> bool:
        """Whether the ids of `text[:start]`, a prompt, are sure to be the first ids of `text`. False: not known.

        The prompt ends with its last special token and the tail, whose ids are known. If the text has the same ids
        there, and the next token begins after them, nothing of the answer was joined with the prompt.
        """
        anchor, tail, tail_ids = self._anchor, self._tail, self._tail_ids
        if not anchor or not text.startswith(anchor + tail, start - len(tail) - len(anchor)):
            return False
        first = encoded.first_after(start)
        place = first - len(tail_ids) - 1
        if place < encoded.known or encoded.ids[place:first] != [self._cuts[anchor], *tail_ids]:
            return False
        begin = start - len(tail) - len(anchor) - encoded.offset
        return bool(encoded.rest.token_to_chars(place - encoded.known) == (begin, begin + len(anchor)))

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        found: list[Any] = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return found

    def _shared(self, texts: Sequence[str], until: int) -> int:
        """Characters at the start of all texts that can be encoded apart; what follows is a special token in each."""
        if len(texts) < _LEAST_TEXTS or not self._cuts:
            return 0
        low, high = min(texts), max(texts)  # they differ first where any two do
        shared = low[: min(until, shared_start(low, high))]
        place, token = max((shared.rfind(token), token) for token in self._cuts)
        if place < _LEAST_SHARED:
            return 0
        head, both = self._encode([low[:place], low[: place + len(token)]])
        return place if both.ids == [*head.ids, self._cuts[token]] else 0


def _cuts(tokenizer: "PreTrainedTokenizerBase", text: str) -> dict[str, int]:
    """The special tokens of `text` with their ids that are found wherever they stand, and take nothing from around."""
    added = {str(token): (i, token) for i, token in tokenizer.added_tokens_decoder.items()}
    return {
        content: i
        for content, (i, token) in added.items()
        if content in text
        and not (token.lstrip or token.rstrip or token.single_word or token.normalized)
        and sum(content in other for other in added) == 1
    }
