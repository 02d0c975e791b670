"""A conversation that is too long, without its oldest turns; no turn is cut, nor the token that ends it."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.lm.render import Renderer
from jobs.lm.template import Message


@dataclass(frozen=True)
class Fitted:
    """What is left of a conversation."""

    messages: list[Message]
    removed_turns: int
    """Questions that were taken away, each with its answer."""


def without_oldest(messages: Sequence[Message], turns: int) -> list[Message]:
    """The conversation without its first `turns` questions and what was said to them; a system message stays."""
    system = list(messages[:1]) if messages and messages[0]["role"] == "system" else []
    starts = _starts(messages)
    return system + list(messages[starts[turns] :]) if turns else list(messages)


def fit(messages: Sequence[Message], renderer: Renderer, max_tokens: int) -> Fitted | None:
    """The longest end of a conversation of at most `max_tokens` tokens; None if its last turn alone has more.

    A shorter end never has more tokens, so the number of turns is found by halving.
    """
    turns = len(_starts(messages))
    low, high = 1, turns - 1  # turns to take away
    found: Fitted | None = None
    while low <= high:
        middle = (low + high) // 2
        rest = without_oldest(messages, middle)
        if len(renderer.render([rest])[0].ids) <= max_tokens:
            found, high = Fitted(rest, middle), middle - 1
        else:
            low = middle + 1
    return found


def _starts(messages: Sequence[Message]) -> list[int]:
    """Where each turn of the user begins, after an answer or at the start."""
    return [
        i
        for i, message in enumerate(messages)
        if message["role"] == "user" and (i == 0 or messages[i - 1]["role"] != "user")
    ]
