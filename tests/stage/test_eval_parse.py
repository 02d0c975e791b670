"""What is read from a model's text."""

import time
from typing import Any, get_args

import pytest

from jobs.answers.parse import CLASSES, FailureClass, Parsed, failed, parser
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
        ("「查询余额」。", "查询余额", "repaired"),
        ("最终答案：查询余额", "查询余额", "repaired"),
        ("意图：「无法登录」", "无法登录", "repaired"),
        ("查 询 余 额", "查询余额", "repaired"),
        ("Ｃ＋＋", "C++", "repaired"),
        ('{"label": "balance"}', "balance", "repaired"),
        ("balance, balance", "balance", "repaired"),
        ("<think>card_lost? No.</think>\nbalance", "balance", "repaired"),
    ],
)
def test_labels(text: str, label: str | None, how: str) -> None:
    found = parser(_prompt(format="label"))(text)
    assert (found.value, found.how) == (label, how)


def test_the_definition_of_a_label_denies_nothing() -> None:
    labels = {"fraud": "a transaction that the customer did not make", "其他": "不属于以上任何一类"}
    parse = parser(PromptSpec(input="{{ x }}", labels=labels, output=OutputSpec(format="label")))
    assert parse("- fraud: a transaction that the customer did not make") == Parsed("fraud", "repaired")
    assert parse("Fraud: A transaction that the customer did not") == Parsed("fraud", "repaired")  # cut off
    assert parse("其他：不属于以上任何一类。") == Parsed("其他", "repaired")
    assert parse("fraud: a transaction that the customer did not make? No.") == failed("denied")
    assert parse("fraud: that it is not") == failed("denied")


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ('[{"a": 1,},\n]', [{"a": 1}]),
        ("{'a': 1, 'b': None, 'c': True}", {"a": 1, "b": None, "c": True}),
        ("{“a”：1，“b”：“x，y”，}", {"a": 1, "b": "x，y"}),
        ('｛"a"：［1，2］｝', {"a": [1, 2]}),
        ("The customer's order [see note]: {'a': 1}", {"a": 1}),
        ('{"a": 1}\n\nSo the answer is {"a": 1.0}', {"a": 1}),
        ('```json\n{"a": 1}\n```\nwith `{` and `}` around it', {"a": 1}),
        ('```json\n{"a": 1}', {"a": 1}),
        ('<think>maybe {"a": 2}</think> {"a": 1}', {"a": 1}),
        (
            '结果如下：{"金额": "１００，０００", "备注": "他说：“好”"}。',
            {"金额": "１００，０００", "备注": "他说：“好”"},
        ),
        ("""{"a": "it's, }", "b": 'None',}""", {"a": "it's, }", "b": "None"}),
    ],
)
def test_json_is_repaired_where_only_one_thing_can_be_meant(text: str, value: Any) -> None:
    assert parser(_prompt(format="json"))(text) == Parsed(value, "repaired")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (" \n", "empty"),
        ("<think>first I will look at", "cut_off"),
        ("<think>done</think>", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("Sorry, that isn't something I can do", "refusal"),
        ("As an AI language model, I have no access to accounts", "refusal"),
        ("抱歉，我无法回答这个问题", "refusal"),
        ("作为一个AI语言模型，很难分类", "refusal"),
        ("我没有办法判断", "refusal"),
        ("weather", "unknown_label"),
        ("card_lost_abr", "unknown_label"),
        ("查询天气", "unknown_label"),
        ("Label: weather.", "unknown_label"),
        ("balance or card_lost", "several_labels"),
        ("查询余额 / 无法登录", "several_labels"),
        ("This is not about card_lost", "denied"),
        ("这不是查询余额", "denied"),
        ("None of the labels", "no_label"),
        ("The customer would like to hear more about the offer", "no_label"),
        ("这个问题我不知道怎么分类才好", "no_label"),
        ("...", "no_label"),
    ],
)
def test_why_a_label_cannot_be_read(text: str, why: FailureClass) -> None:
    assert parser(_prompt(format="label"))(text) == failed(why)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("<think>{", "cut_off"),
        ("I cannot say", "refusal"),
        ("很抱歉，没有找到金额", "refusal"),
        ("The amount is five.", "no_json"),
        ('"a": 1}', "no_json"),
        ('{"a": 1', "invalid_json"),
        ('{"x": {"a": 1}', "invalid_json"),  # the inner object is not what was meant
        ('{"a": 1} then {"a": 2, "b', "invalid_json"),
        ("{a: 1}", "invalid_json"),
        ("{'a': 'it's 5', 'b': 1}", "invalid_json"),
        ('{"a": 01}', "invalid_json"),
        ('{"a": NaN}', "invalid_json"),
        ('{"a": 1e999}', "invalid_json"),
        ('{"a": 1, "a": 2}', "invalid_json"),
        ("[" * 200 + "]" * 200, "invalid_json"),
        ('{"a": 1, "b": "\\ud83d"}', "invalid_json"),
        ('{"a": 1} or {"a": 2}', "several_values"),
        ('{"a": "1"}', "schema"),
        ("[1]", "schema"),
        ("Here: {'b': 1}", "schema"),
    ],
)
def test_why_json_cannot_be_read(text: str, why: FailureClass) -> None:
    assert parser(_prompt(format="json", json_schema=SCHEMA))(text) == failed(why)


def test_the_value_that_fits_the_schema_is_the_answer() -> None:
    parse = parser(_prompt(format="json", json_schema=SCHEMA))
    assert parse('The list [1, 2] gives {"a": 3}') == Parsed({"a": 3}, "repaired")
    assert parse('{"b": 1} is wrong, {"a": 3} is right') == Parsed({"a": 3}, "repaired")


@pytest.mark.parametrize(
    ("format_", "text", "why"),
    [
        ("label", "The message is about", "cut_off"),
        ("label", "balance or card_lost or", "several_labels"),
        ("label", "I'm sorry, but I", "refusal"),
        ("json", '{"a": [1, 2', "cut_off"),
        ("json", "First of all", "cut_off"),
        ("label", "balance, because", None),
    ],
)
def test_a_text_that_was_cut_off_may_only_lack_its_end(format_: str, text: str, why: str | None) -> None:
    assert parser(_prompt(format=format_))(text).of_cut_text().why == why


@pytest.mark.parametrize("text", ["[" * 100_000, "{'" * 50_000, "“" * 100_000, "[x] " * 20_000, "```\n" * 20_000])
def test_what_a_broken_model_repeats_takes_no_time(text: str) -> None:
    started = time.process_time()
    for format_ in ("json", "label"):
        assert parser(_prompt(format=format_))(text).how == "failed"
    assert time.process_time() - started < 5


def test_every_failure_class_has_a_meaning() -> None:
    assert set(CLASSES) == set(get_args(FailureClass))


def test_json_null_is_an_answer() -> None:
    assert parser(_prompt(format="json"))("null") == Parsed(None, "strict")


def test_regex_and_free_text() -> None:
    date = parser(_prompt(format="regex", pattern=r"\d{4}-\d\d"))
    assert date(" 2024-05 ") == Parsed("2024-05", "strict")
    assert date("in 2024-05") == failed("pattern")
    for text in (
        '"2024-05"',
        "Answer: 2024-05.",
        "答案是：２０２４－０５。",
        "```\n2024-05\n```",
        "<think>m</think>2024-05",
    ):
        assert date(text) == Parsed("2024-05", "repaired"), text
    assert date("2024-05 and 2024-06") == failed("pattern")
    assert date("I am unable to say") == failed("refusal")
    free = parser(_prompt(format="free"))
    assert free("<think>long</think>\n short") == Parsed("short", "repaired")
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
