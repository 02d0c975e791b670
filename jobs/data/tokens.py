"""Token counts of the examples, by the one renderer."""

from array import array
from collections.abc import Sequence

from jobs.data.gather import Progress
from jobs.data.ledger import Entry, kept
from jobs.lm.render import Renderer

_BATCH = 512


def count_tokens(entries: Sequence[Entry], renderer: Renderer, progress: Progress) -> None:
    """Render every entry and keep its tokens."""
    for start in range(0, len(entries), _BATCH):
        batch = entries[start : start + _BATCH]
        for entry, rendered in zip(batch, renderer.render([entry.example.messages for entry in batch]), strict=True):
            entry.ids = array("i", rendered.ids)
            entry.supervised = rendered.supervised_tokens
        progress("count tokens", start + len(batch), len(entries))


def drop_too_long(entries: Sequence[Entry], max_tokens: int) -> None:
    """Drop what is longer than `max_tokens`: half an answer teaches to stop in the middle."""
    for entry in kept(entries):
        if entry.tokens is not None and entry.tokens > max_tokens:
            entry.rule = "too_long"


def longest_answer(entries: Sequence[Entry], labels: Sequence[str], renderer: Renderer) -> int:
    """Tokens of the longest expected answer of the held-out set, or of the longest label, with the end of the turn."""
    answers = sorted({*labels, *(entry.example.answer for entry in kept(entries, "held_out"))})
    return max((len(ids) for ids in renderer.answers(answers)), default=0)
