"""Conversations that are too long lose their oldest turns: as few as must be, and never part of one."""

import pytest

from jobs.lm.fit import fit, without_oldest
from jobs.lm.message import Message
from jobs.lm.render import IGNORE, Renderer
from tests.support.tokenizers import FAMILIES, family_tokenizer

SYSTEM: Message = {"role": "system", "content": "Be short."}


def conversation(turns: int, system: bool) -> list[Message]:
    """Turns of very different lengths."""
    messages = [SYSTEM] if system else []
    for i in range(turns):
        messages.append({"role": "user", "content": f"question {i} " + "why " * (i * 7 % 5 * 10)})
        messages.append({"role": "assistant", "content": f"answer {i} " + "so " * (i * 3 % 4 * 10)})
    return messages


def one_by_one(messages: list[Message], renderer: Renderer, max_tokens: int) -> int | None:
    """Turns to take away, found by trying each."""
    for turns in range(sum(message["role"] == "user" for message in messages)):
        if len(renderer.render([without_oldest(messages, turns)])[0].ids) <= max_tokens:
            return turns
    return None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("system", [False, True])
def test_as_few_turns_as_must_be_are_taken_away(family: str, system: bool) -> None:
    renderer = Renderer(family_tokenizer(family))
    messages = conversation(9, system)
    whole = len(renderer.render([messages])[0].ids)
    limits = [*range(1, whole, 29), whole - 1, whole]
    found = [fit(messages, renderer, limit) for limit in limits]
    expected = [one_by_one(messages, renderer, limit) for limit in limits]
    assert [None if one is None else one.removed_turns for one in found] == expected
    assert expected[0] is None and expected[-1] == 0 and len(set(expected)) > 5


def test_what_is_left_is_whole_and_rendered() -> None:
    renderer = Renderer(family_tokenizer("smollm2"))
    messages = conversation(5, system=True)
    fitted = fit(messages, renderer, 300)
    assert fitted is not None and fitted.removed_turns > 0
    assert fitted.messages == [SYSTEM, *messages[1 + 2 * fitted.removed_turns :]]
    assert renderer.render([fitted.messages]) == [fitted.rendered]
    assert fitted.rendered.labels[-2] == renderer.stop_ids[0] != IGNORE


def test_questions_in_a_row_are_one_turn() -> None:
    messages: list[Message] = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": "e"},
    ]
    assert without_oldest(messages, 1) == messages[3:]
    assert without_oldest(messages, 0) == messages


def test_rendering_is_asked_for_a_few_times_however_many_turns_there_are() -> None:
    renderer = Renderer(family_tokenizer("qwen2"))
    asked = 0
    render = renderer.render

    def counted(conversations):  # type: ignore[no-untyped-def]
        nonlocal asked
        asked += 1
        return render(conversations)

    renderer.render = counted  # type: ignore[method-assign]
    fitted = fit(conversation(60, system=True), renderer, 500)
    assert fitted is not None and fitted.removed_turns > 40
    assert asked <= 4
