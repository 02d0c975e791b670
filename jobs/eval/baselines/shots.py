"""Training examples for the prompt of the baseline `few_shot`.

The same shots stand before every question, so that they are encoded once. They are drawn by the seed, in turn from each
label (without labels: from each task), which needs no look at the held-out examples. General data is left out: it shows
nothing of the task.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.eval.examples import Example
from jobs.lm.message import Message
from jobs.lm.render import Renderer
from sftjobs.canonical import digest
from sftjobs.spec.input_places import GENERAL

MAX_TRIED = 200
"""Examples that may be too long before no more are tried."""


@dataclass(frozen=True, slots=True)
class Shots:
    """What was chosen, and how it is shown."""

    examples: list[Example]
    too_long: int
    """Examples of the draw that were passed over, because they did not fit into what was left of the context."""
    instruction: str
    """The start that all questions have, which is said once."""

    def before(self, asked: Example) -> list[Message]:
        """The conversation of `asked` with the turns of the shots before its first question.

        The instruction stands in the first question only. On SmolLM2-135M that answers better and costs half as much
        as a copy in every turn (docs/baselines.md).
        """
        system = [message for message in asked.messages if message["role"] == "system"]
        turns = [
            [message for message in one.messages if message["role"] != "system"] for one in (*self.examples, asked)
        ]
        return [*system, *turns[0], *(message for turn in turns[1:] for message in _without(turn, self.instruction))]


def choose(
    train: Sequence[Example],
    held_out: Sequence[Example],
    renderer: Renderer,
    *,
    shots: int,
    seed: int,
    room: int | None,
) -> Shots:
    """At most `shots` examples that have at most `room` tokens (None: any) together with the longest question.

    Fewer if there are no more, or if no other fits.
    """
    forbidden = {example.id for example in held_out}
    candidates = [one for one in train if one.task != GENERAL and one.id not in forbidden]
    instruction = common_start([_first_question(one) for one in (*candidates, *held_out)])
    longest = max(held_out, key=lambda one: sum(len(message["content"]) for message in one.messages[:-1]))
    chosen: list[Example] = []
    too_long = 0
    for candidate in _in_turn(candidates, seed):
        if len(chosen) == shots or too_long == MAX_TRIED:
            break
        tried = Shots([*chosen, candidate], too_long, instruction)
        if room is not None and len(renderer.prompts([tried.before(longest)])[0]) > room:
            too_long += 1
        else:
            chosen.append(candidate)
    return Shots(chosen, too_long, instruction)


def _in_turn(candidates: Sequence[Example], seed: int) -> Iterator[Example]:
    """One of each label (task), then a second one of each, and so on; labels and examples by a hash with the seed."""
    groups: dict[str, list[Example]] = {}
    for one in candidates:
        groups.setdefault(one.task if one.label is None else one.label, []).append(one)
    order = sorted(groups, key=lambda name: digest(["group", seed, name]))
    queues = [sorted(groups[name], key=lambda one: digest(["shot", seed, one.id])) for name in order]
    for place in range(max(map(len, queues), default=0)):
        yield from (queue[place] for queue in queues if place < len(queue))


def common_start(texts: Sequence[str]) -> str:
    """What all texts share at their start, up to the end of a line; empty for a single text."""
    if not texts:
        return ""
    low, high = min(texts), max(texts)  # they differ first where any two texts do
    differ = (place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    return low[: low.rfind("\n", 0, next(differ, 0)) + 1]


def _first_question(example: Example) -> str:
    return next((message["content"] for message in example.messages if message["role"] == "user"), "")


def _without(turns: list[Message], instruction: str) -> list[Message]:
    """The turns of an example, its first question without the instruction."""
    if not turns or turns[0]["role"] != "user":
        return turns
    return [{**turns[0], "content": turns[0]["content"].removeprefix(instruction)}, *turns[1:]]
