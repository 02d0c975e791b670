"""Published forms of instruction data become the same conversation, or a message names the element that is wrong."""

from typing import Any

import pytest

from jobs.data.shapes import Shape, ShapeError, conversation, shape_of, value_at
from sftjobs.spec.data import ColumnMap

PARTS = {"role": "user", "content": [{"type": "text", "text": "q"}]}
ASKED = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
TURNS = [{"role": "system", "content": "s"}, ASKED, ANSWER, {"role": "user", "content": "q2"}, ANSWER]


def of(values: dict[str, Any], shape: Shape | None = None, **columns: Any) -> list[Any]:
    return list(conversation(values, shape or shape_of(values), ColumnMap(**columns)))


def sharegpt(asks: str, answers: str, **more: Any) -> dict[str, Any]:
    """`more`: keys that a Parquet file gives to every message."""
    return {"conversations": [{"from": asks, "value": "q", **more}, {"from": answers, "value": "a", **more}]}


@pytest.mark.parametrize(
    ("values", "shape", "expected"),
    [
        ({"messages": TURNS}, "messages", TURNS),
        ({"messages": [PARTS, ANSWER]}, "messages", [ASKED, ANSWER]),
        (sharegpt("human", "gpt"), "sharegpt", [ASKED, ANSWER]),
        (sharegpt("user", "bing", role=None, content=None), "sharegpt", [ASKED, ANSWER]),
        ({"conversations": [ASKED, ANSWER]}, "sharegpt", [ASKED, ANSWER]),
        ({"system": "s", **sharegpt("human", "chatgpt")}, "sharegpt", [TURNS[0], ASKED, ANSWER]),
        ({"system": "other", "conversations": TURNS}, "sharegpt", TURNS),
        ({"instruction": "q", "output": "a"}, "alpaca", [ASKED, ANSWER]),
        ({"instruction": "q", "input": "", "output": "a", "system": None}, "alpaca", [ASKED, ANSWER]),
        (
            {"instruction": "q2", "input": "of this", "output": "a", "history": [["q", "a"]], "system": "s"},
            "alpaca",
            [*TURNS[:3], {"role": "user", "content": "q2\n\nof this"}, ANSWER],
        ),
        ({"prompt": "q", "completion": "a"}, "prompt_completion", [ASKED, ANSWER]),
        ({"prompt": TURNS[:2], "completion": [ANSWER]}, "prompt_completion", TURNS[:3]),
    ],
)  # fmt: skip
def test_every_shape_is_told_by_its_keys_and_becomes_a_conversation(
    values: dict[str, Any], shape: str, expected: list[Any]
) -> None:
    assert shape_of(values) == shape
    assert of(values) == expected


def test_other_keys_are_columns_and_two_shapes_at_once_are_asked_about() -> None:
    assert shape_of({"text": "a", "label": "b"}) == "columns"
    assert shape_of({"messages": "text", "label": "b"}) == "columns"
    with pytest.raises(ShapeError, match=r"could be alpaca or prompt_completion: set `shape`. It has instruction"):
        shape_of({"instruction": "q", "output": "a", "prompt": "q", "completion": "a"})


def test_a_conversation_can_have_any_name() -> None:
    assert of({"chat": {"turns": [ASKED, ANSWER]}}, "messages", messages="chat.turns") == [ASKED, ANSWER]
    with pytest.raises(ShapeError, match=r"no column 'chat'; columns: \{messages: NAME\}"):
        of({"talk": []}, "messages", messages="chat")


@pytest.mark.parametrize("said", [{"train": False}, {"weight": 0}, {"weight": 0.0, "train": None}])
def test_an_answer_can_be_left_untrained(said: dict[str, Any]) -> None:
    found = of({"messages": [ASKED, {**ANSWER, **said}, ASKED, {**ANSWER, "train": True, "weight": 1}]})
    assert [message.get("train") for message in found] == [None, False, None, None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"messages": []}, 'messages: must be a list of {"role": ..., "content": ...}'),
        ({"messages": ["q", "a"]}, "messages: message 1 must have a role and a content that is text"),
        ({"messages": [ASKED, {"role": "assistant", "content": None}]}, "message 2 must have a role and a content"),
        ({"messages": [ASKED, {"role": "bot", "content": "a"}]}, "message 2 has the role 'bot'; known: system, user"),
        ({"messages": [ASKED, {"role": ["a"], "content": "a"}]}, "message 2 has the role ['a']"),
        (
            {"messages": [ASKED, {"role": "tool", "content": "4"}]},
            "message 2: tool has no meaning here: calls of tools",
        ),
        (
            {"messages": [ASKED, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
            "message 2: tool_calls has no meaning here",
        ),
        ({"messages": [ASKED, ANSWER], "tools": [{"name": "f"}]}, "tools: calls of tools are not supported"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, ANSWER]},
            "message 1 has a part of type 'image_url': only text can be trained",
        ),
        ({"messages": [ASKED, {**ANSWER, "weight": 0.5}]}, "message 2 has the weight 0.5; known: 0 and 1"),
        ({"messages": [ASKED, {**ANSWER, "train": "no"}]}, "message 2 has the train 'no'; known: true and false"),
        ({"messages": [ASKED]}, "the last message must be the assistant's, and this is the user's"),
        ({"messages": [ANSWER, ASKED, ANSWER]}, "the first message is the assistant's"),
        ({"messages": [{"role": "system", "content": "s"}, ANSWER]}, "there is no message of the user"),
        ({"messages": [ASKED, TURNS[0], ANSWER]}, "a system message can only be the first"),
        ({"conversations": [{"from": "human", "value": 5}, ANSWER]}, "conversations: message 1 must have a role"),
        ({"conversations": [ASKED, ANSWER], "system": 5}, "column 'system' is no text but int"),
        ({"instruction": " ", "input": "", "output": "a"}, "nothing is asked: instruction and input are empty"),
        ({"instruction": "q", "output": None}, "column 'output' is null"),
        ({"instruction": "q", "output": 5}, "column 'output' is no text but int"),
        ({"instruction": "q", "output": "a", "history": [["q"]]}, "history: turn 1 must be [question, answer]"),
        ({"instruction": "q", "output": "a", "history": "none"}, "history: must be a list of [question, answer]"),
        ({"instruction": "q", "output": "a", "history": 5}, "history: must be a list of [question, answer]"),
        ({"prompt": "q", "completion": None}, "column 'completion' is null"),
        ({"prompt": [], "completion": "a"}, 'prompt: must be a list of {"role"'),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        of(values)
    assert message in str(caught.value)
    assert caught.value.kind in ("messages", "column")


def test_values_are_found_at_dotted_paths_and_a_key_with_dots_comes_first() -> None:
    values = {"a": {"b": [{"c": 1}, {"c": None}]}, "a.b": "whole", "d.e": 2}
    assert value_at(values, "a.b") == (True, "whole")
    assert value_at(values, "a.b.0.c") == (True, 1)
    assert value_at(values, "a.b.1.c") == (True, None)
    assert value_at(values, "d.e") == (True, 2)
    for missing in ("b", "a.b.2.c", "a.b.x", "a.b.0.c.d", "d", "a..b", ""):
        assert value_at(values, missing) == (False, None), missing
