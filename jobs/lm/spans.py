"""Where the assistant's turns are in the text that a template made."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jobs.lm.message import Message
from sftjobs.errors import DataError

END_OF_THOUGHTS = "</think>"


@dataclass(frozen=True, slots=True)
class Openings:
    """How a template writes what stands between a question and its answer."""

    last: str
    """Before the last answer: the end of the question and the generation prompt."""
    earlier: str
    """Before an answer that others follow. Thinking models leave the empty thoughts out there."""
    end_of_turn: str


class Spans:
    """Finds the turns of a conversation. `opened` makes the text up to the answer that follows some messages."""

    def __init__(self, name: str, openings: Openings, opened: Callable[[Sequence[Message]], str]) -> None:
        self._name = name
        self._openings = openings
        self._opened = opened

    def find(self, text: str, messages: Sequence[Message]) -> list[tuple[int, int]]:
        """Characters [start, end) of each turn, its end included, of a conversation that ends with an answer.

        Raises DataError if a turn does not begin or read as the template promises.
        """
        places = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        opened = self._opened(messages[:-1])
        if not text.startswith(opened):
            raise DataError(self._no_generation_prompt(messages[-1]["content"], opened))
        if len(places) == 1:
            return [self._span(text, messages[-1]["content"], len(opened))]
        starts = self._counted(text, len(opened), len(places)) or [self._start(text, messages[:i]) for i in places[:-1]]
        return [
            self._span(text, messages[i]["content"], start)
            for i, start in zip(places, [*starts, len(opened)], strict=True)
        ]

    def _counted(self, text: str, last: int, turns: int) -> list[int] | None:
        """Starts of all turns but the last, if the opening is in the text as often as there are turns: then no other
        text has it. None if it is not. Asking the template about each turn takes time that grows with their square."""
        opening = self._openings.earlier
        if not opening or text.count(opening, 0, last) != turns:
            return None
        starts, found = [], 0
        for _ in range(turns - 1):
            found = text.index(opening, found) + len(opening)
            starts.append(found)
        return starts

    def _start(self, text: str, before: Sequence[Message]) -> int:
        """Where the turn after the messages `before` begins, by asking the template."""
        opened = self._opened(before)
        if text.startswith(opened):
            return len(opened)
        plain = opened.removesuffix(self._openings.last) + self._openings.earlier
        return len(plain) if text.startswith(plain) else shared_start(text, opened)

    def _span(self, text: str, content: str, start: int) -> tuple[int, int]:
        end_of_turn = self._openings.end_of_turn
        for answer in _forms(content):
            found = text.find(answer + end_of_turn, start)
            if found >= 0 and (found == start or end_of_turn not in text[start:found]):
                return start, found + len(answer) + len(end_of_turn)
        raise DataError(
            f"{self._name}: the chat template does not keep the assistant's message {content[:60]!r} as it is; "
            "put another chat_template.jinja into the model folder"
        )

    def _no_generation_prompt(self, content: str, opened: str) -> str:
        if END_OF_THOUGHTS in content:
            return (
                f"the answer {content[:60]!r} has thoughts ({END_OF_THOUGHTS}), but {self._name} is trained and asked "
                "for the plain answer: take the thoughts out of the data"
            )
        return (
            f"{self._name}: the chat template does not begin the assistant's turn with its own generation prompt "
            f"({opened[-40:]!r}); put another chat_template.jinja into the model folder"
        )


def _forms(content: str) -> Iterator[str]:
    """What templates make of an answer: as it is, trimmed, or without the thoughts before it."""
    yield content
    yield content.strip()
    if END_OF_THOUGHTS in content:
        plain = content.rpartition(END_OF_THOUGHTS)[2]
        yield from (plain, plain.lstrip("\n"), plain.strip())


def shared_start(a: Sequence[object], b: Sequence[object]) -> int:
    """How many characters two texts share at their start, or tokens two sequences."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
