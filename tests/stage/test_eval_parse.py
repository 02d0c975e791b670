"""What is read from a model's text."""

from typing import Any

import pytest

from jobs.answers.parse import Parsed, failed, parser
from sftjobs.errors import DataError
from sftjobs.spec.prompt import OutputSpec, PromptSpec

LABELS = ["balance", "card_lost", "card_lost_abroad", "out of scope", "C++", "查询余额", "无法登录"]


def _prompt(**output: Any) -> PromptSpec:
    labels = dict.fromkeys(LABELS, "") if output["format"] == "label" else {}
    return PromptSpec(input="{{ text }}", labels=labels, output=OutputSpec(**output))


@pytest.mark.parametrize(
    ("text", "label", "how"),
    [
        ("balance", "balance", "strict"),
        (" card_lost\n", "card_lost", "strict"),
        ("Balance", "balance", "repaired"),
        ('"balance".', "balance", "repaired"),
        ("**balance**", "balance", "repaired"),
        ("ｂａｌａｎｃｅ", "balance", "repaired"),
        ("Card lost", "card_lost", "repaired"),
        ("out_of_scope", "out of scope", "repaired"),
        ("Label: card_lost", "card_lost", "repaired"),
        ("The label is balance", "balance", "repaired"),
        ("I think this is about card_lost_abroad.", "card_lost_abroad", "repaired"),
        ("标签：查询余额", "查询余额", "repaired"),
        ("这是查询余额的问题", "查询余额", "repaired"),
        ("balance or card_lost", None, "failed"),
        ("rebalance", None, "failed"),
        ("card_lost_again", None, "failed"),
        ("balance-transfer", None, "failed"),
        ("card_lost_abr", None, "failed"),
        ("Card-lost: the card is gone", "card_lost", "repaired"),
        ("This is not about card_lost", None, "failed"),
        ("It isn't a balance question", None, "failed"),
        ("这不是查询余额", None, "failed"),
        ("这是无法登录的问题", "无法登录", "repaired"),
        ("", None, "failed"),
        ("I would be glad to help", None, "failed"),
    ],
)
def test_labels(text: str, label: str | None, how: str) -> None:
    found = parser(_prompt(format="label"))(text)
    assert (found.value, found.how) == (label, how)


def test_labels_that_differ_in_case_only_are_not_repaired_into_one_another() -> None:
    prompt = PromptSpec(input="{{ x }}", labels={"Yes": "", "yes": ""}, output=OutputSpec(format="label"))
    assert parser(prompt)("yes") == Parsed("yes", "strict")
    assert parser(prompt)("YES").how == "failed"


SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("text", "value", "how"),
    [
        ('{"a": 1}', {"a": 1}, "strict"),
        (' {"a": 1}\n', {"a": 1}, "strict"),
        ('```json\n{"a": 1}\n```', {"a": 1}, "repaired"),
        ('Here it is: {"a": 1}. Anything else?', {"a": 1}, "repaired"),
        ('{"a": "x"}', None, "failed"),
        ('{"b": 1}', None, "failed"),
        ('{"a": NaN}', None, "failed"),
        ('{"a": 1', None, "failed"),
        ("[" * 100_000, None, "failed"),
        ("", None, "failed"),
    ],
)
def test_json(text: str, value: Any, how: str) -> None:
    found = parser(_prompt(format="json", json_schema=SCHEMA))(text)
    assert (found.value, found.how) == (value, how)


def test_json_null_is_an_answer() -> None:
    assert parser(_prompt(format="json"))("null") == Parsed(None, "strict")


def test_regex_and_free_text() -> None:
    date = parser(_prompt(format="regex", pattern=r"\d{4}-\d\d"))
    assert date(" 2024-05 ") == Parsed("2024-05", "strict")
    assert date("in 2024-05") == failed("pattern")
    free = parser(_prompt(format="free"))
    assert free(" any text\n") == Parsed("any text", "strict")
    assert free("  ") == failed("empty")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (_prompt(format="regex", pattern="("), "prompt.output.pattern: '\\(' is not a Python pattern"),
        (_prompt(format="json", json_schema={"type": 3}), "prompt.output.json_schema: not a JSON Schema"),
        (PromptSpec(input="x", output=OutputSpec(format="label")), "prompt.labels: .* defines no labels"),
    ],
)
def test_a_format_that_cannot_be_used_is_named(prompt: PromptSpec, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parser(prompt)
