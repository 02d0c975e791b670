"""A conversation that is too long, without its oldest turns; no turn is cut, nor the token that ends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jobs.lm.message import Message
from jobs.lm.render import Rendered, Renderer


@dataclass(frozen=True)
class Fitted:
    """What is left of a conversation."""

    messages: list[Message]
    removed_turns: int
    """Questions that were taken away, each with its answer."""
    rendered: Rendered


def without_oldest(messages: Sequence[Message], turns: int) -> list[Message]:
    """The conversation without its first `turns` questions and what was said to them; a system message stays."""
    if not turns:
        return list(messages)
    system = list(messages[:1]) if messages[0]["role"] == "system" else []
    return system + list(messages[_starts(messages)[turns] :])


def fit(messages: Sequence[Message], renderer: Renderer, max_tokens: int) -> Fitted | None:
    """The longest end of a conversation of at most `max_tokens` tokens; None if its last turn alone has more.

    How many turns to take away is guessed from the lengths of the messages; rendering corrects the guess. That is
    mostly two renderings, whatever the number of turns. A shorter end never has more tokens.
    """

    def without(turns: int) -> Fitted | None:
        rest = without_oldest(messages, turns)
        [rendered] = renderer.render([rest])
        return Fitted(rest, turns, rendered) if len(rendered.ids) <= max_tokens else None

    starts = _starts(messages)
    turns = _guess(messages, starts, renderer, max_tokens)
    found = without(turns)
    while found is None and turns + 1 < len(starts):
        turns += 1
        found = without(turns)
        if found is not None:
            return found
    while found is not None and turns > 0:
        turns -= 1
        longer = without(turns)
        if longer is None:
            break
        found = longer
    return found


def _guess(messages: Sequence[Message], starts: Sequence[int], renderer: Renderer, max_tokens: int) -> int:
    """Turns to take away if the template writes the same around every message; too many rather than too few."""
    [whole] = renderer.render([messages])
    lengths = renderer.lengths([message["content"] for message in messages])
    around = max(0.0, (len(whole.ids) - sum(lengths)) / len(messages))
    left = float(len(whole.ids))
    for turns, (start, end) in enumerate(pairwise(starts)):
        if left <= max_tokens:
            return turns
        left -= sum(lengths[start:end]) + around * (end - start)
    return len(starts) - 1


def _starts(messages: Sequence[Message]) -> list[int]:
    """Where each turn of the user begins, after an answer or at the start."""
    return [
        i
        for i, message in enumerate(messages)
        if message["role"] == "user" and (i == 0 or messages[i - 1]["role"] != "user")
    ]
