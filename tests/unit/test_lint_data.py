"""Rules of the prompt lint that need to know the data: each speaks of what the facts say, and of nothing else."""

from typing import Any

import pytest

from sftjobs.lint import Collision, Facts, Finding, lint_data
from sftjobs.lint.delimiters import CollisionCounter, Delimiter, delimiters
from sftjobs.spec.lines import Lines
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.source import Source

FREE = PromptSpec(system="你是客服。", instruction="Answer in at most 20 words.", input='Text: """{{ text }}"""')
ZH = PromptSpec(instruction="回答不超过50字。", input="问题：{{ 内容 }}")
LABELS = PromptSpec(
    input="<m>{{ text }}</m>",
    labels={"refund": "wants money back", "parcel": "asks for a parcel", "退款": "要求退钱"},
    output={"format": "label"},  # type: ignore[arg-type]
)
EVEN = {"refund": 50, "parcel": 40, "退款": 30}


def found(prompt: PromptSpec, **facts: Any) -> list[Finding]:
    return lint_data(prompt, Facts(**facts))


@pytest.mark.parametrize("prompt", [FREE, ZH, LABELS])
def test_nothing_is_said_of_what_was_not_counted(prompt: PromptSpec) -> None:
    assert found(prompt) == []


SOUND: list[tuple[PromptSpec, dict[str, Any]]] = [
    (LABELS, {"labels": EVEN}),
    (FREE, {"longest_answer_words": 20}),
    (ZH, {"longest_answer_characters": 50}),
    (FREE, {"context_tokens": 100, "answer_tokens": 40, "longest_prompt_tokens": 60, "constant_tokens": 30}),
    (FREE, {"special_tokens": ("<|end|>", "", " ")}),
    (FREE, {"template_hash": "a", "other_templates": {"intent-v2": "a"}}),
    (LABELS, {"has_system_role": False}),
    (FREE, {"answer_opening": "<|im_start|>assistant\n"}),
    (FREE, {"answer_opening": "[/INST]", "special_tokens": ("[/INST]",)}),
    (FREE, {"style_follows": 0.95, "style_reasons": ("too long",)}),
    (FREE, {"difficulties": {"easy": 60, "hard": 40}}),
    (FREE, {"difficulties": {"easy": 60}}),
    (FREE, {"labels": {"anything": 3}}),
]


@pytest.mark.parametrize(("prompt", "facts"), SOUND)
def test_no_false_alarm(prompt: PromptSpec, facts: dict[str, Any]) -> None:
    assert [str(one) for one in found(prompt, **facts)] == []


FLAWS: list[tuple[str, str, PromptSpec, dict[str, Any], str]] = [
    (
        "P06",
        "error",
        LABELS,
        {"labels": EVEN | {"Refund ": 3}},
        "'Refund ', which is none of the labels; 'refund' differs",
    ),
    ("P06", "error", LABELS, {"labels": EVEN | {"parcle": 3}}, "write 'parcel' in the data"),
    ("P06", "error", LABELS, {"labels": EVEN | {"退 款": 1}}, "or set `data.clean.label: fix`"),
    (
        "P08",
        "hint",
        FREE,
        {"examples": 500, "collisions": (Collision("text", '"""', 4, 9),)},
        "4 values of text, first in line 9",
    ),
    ("P08", "warning", FREE, {"examples": 400, "collisions": (Collision("text", '"""', 4),)}, "<data> and </data>"),
    ("P08", "warning", LABELS, {"examples": 1, "collisions": (Collision("text", "</m>", 1),)}, '""" and """'),
    ("P10", "error", LABELS, {"malformed_answers": 1200, "malformed_reason": "empty"}, "1,200 answers are not in"),
    ("P10", "warning", FREE, {"longest_answer_words": 21}, "has 21 words, and the prompt asks for 'at most 20 words'"),
    (
        "P10",
        "warning",
        ZH,
        {"longest_answer_characters": 80},
        "has 80 characters, and the prompt asks for '不超过50字'",
    ),
    (
        "P13",
        "warning",
        FREE,
        {"context_tokens": 100, "answer_tokens": 40, "longest_prompt_tokens": 61, "long_prompts": 2},
        "61 tokens, and there are 100 tokens of context less 40 for the answer (2 prompts are too long)",
    ),
    (
        "P13",
        "hint",
        ZH,
        {"context_tokens": 100, "answer_tokens": 40, "longest_prompt_tokens": 61},
        "less 40 for the answer; shorten",
    ),
    (
        "P13",
        "error",
        ZH,
        {"context_tokens": 100, "answer_tokens": 40, "longest_prompt_tokens": 90, "constant_tokens": 60},
        "the constant part alone has 60 tokens",
    ),
    ("P14", "error", FREE, {"special_tokens": ("客服",)}, "'客服' is a special token"),
    ("P14", "error", FREE, {"special_tokens": ("Text",)}, "'Text' is a special token"),
    ("P14", "warning", FREE, {"role_token_examples": 7}, "7 examples hold a special token"),
    (
        "P15",
        "warning",
        FREE,
        {"template_hash": "a1", "other_templates": {"intent-v2": "b2"}},
        "is not that of intent-v2 (b2)",
    ),
    ("P15", "hint", FREE, {"has_system_role": False}, "no system role"),
    ("P16", "hint", FREE, {"answer_opening": "### Response:"}, "right behind '### Response:'"),
    (
        "P17",
        "warning",
        FREE,
        {"style_follows": 0.8, "style_reasons": ("too long", "not in zh")},
        "only 80% of the answers",
    ),
    ("P17", "hint", ZH, {"style_reasons": ("60% use Markdown, 40% do not",)}, "60% use Markdown"),
    ("P18", "warning", LABELS, {"labels": EVEN | {"parcel": 9}}, "fewer than 10 examples of parcel (9)"),
    ("P18", "warning", LABELS, {"labels": {"refund": 40, "parcel": 40}}, "退款 (0)"),
    ("P18", "warning", LABELS, {"labels": EVEN | {"refund": 301}}, "refund has 301 examples and 退款 has 30"),
    ("P18", "hint", FREE, {"difficulties": {"easy": 81, "hard": 19}}, "81% of the examples have the difficulty 'easy'"),
    (
        "P18",
        "hint",
        ZH,
        {"difficulties": {"易": 50, "中": 46, "难": 4}},
        "only 4.0% of the examples have the difficulty '难'",
    ),
]


@pytest.mark.parametrize(("rule", "severity", "prompt", "facts", "part"), FLAWS)
def test_a_flaw_is_found_and_nothing_else(
    rule: str, severity: str, prompt: PromptSpec, facts: dict[str, Any], part: str
) -> None:
    [one] = found(prompt, **facts)
    assert (one.id, one.severity) == (rule, severity)
    assert part in str(one), str(one)


def test_many_rare_labels_are_counted() -> None:
    many = {f"label {i}": "some meaning" for i in range(9)}
    [one] = lint_data(
        PromptSpec(input="{{ x }}", labels=many, output={"format": "label"}), Facts(labels={"label 0": 1})
    )  # type: ignore[arg-type]
    assert "label 6 (0) and 3 more" in one.message


def test_a_finding_has_file_and_line() -> None:
    source = Source("p.yaml", Lines({("input",): 7}))
    [one] = lint_data(FREE, Facts(examples=1, collisions=(Collision("text", '"""', 1),)), source)
    assert (one.file, one.line, one.excerpt) == ("p.yaml", 7, '"""')


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('"""{{ a }}"""', [Delimiter("a", '"""', "closing")]),
        ("<t>\n{{ a }}\n</t> {{ b }}", [Delimiter("a", "</t>", "closing")]),
        ("```sql\n{{ a }}\n```", [Delimiter("a", "```", "closing")]),
        ("留言：「{{ 内容 }}」", [Delimiter("内容", "」", "closing")]),
        ("Message: {{ a }}", [Delimiter("a", "Message:", "field")]),
        (
            "标题：{{ a }}\n正文：{{ b }}",
            [Delimiter(column, field, "field") for column in "ab" for field in ("标题：", "正文：")],
        ),
        ("{{ a }}", []),
        ("<t>{{ a }}</u>", []),
    ],
)
def test_delimiters_of_an_input(template: str, expected: list[Delimiter]) -> None:
    assert delimiters(template) == expected


def test_collisions_are_counted_with_the_first_line() -> None:
    counter = CollisionCounter(PromptSpec(input="Title: {{ t }}\nText: <d>{{ x }}</d>"))
    counter.look({"t": "Title: of a book", "x": "plain"}, 1)  # at the start of the value it is no new line
    counter.look({"t": "a", "x": "b </d> c"}, 2)
    counter.look({"t": "a\n Title: b", "x": "</d>"}, 3)
    counter.look({}, 4)
    assert counter.found() == (Collision("x", "</d>", 2, 2), Collision("t", "Title:", 1, 3))
