"""Rules about the form of an example, in Chinese and English; no rule fails on any text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.clean import RULES, View
from jobs.data.clean.boilerplate import BoilerplateRule, BoilerplateSettings
from jobs.data.clean.cut_answer import CutAnswerRule, CutAnswerSettings, ends_open, find_length_cap
from jobs.data.clean.echo import EchoRule
from jobs.data.clean.flagged_words import FlaggedWordsRule, FlaggedWordsSettings
from jobs.data.clean.length import LengthRule, LengthSettings
from jobs.data.clean.role_tokens import RoleTokensRule, RoleTokensSettings
from jobs.data.clean.unbalanced import UnbalancedRule, UnbalancedSettings

any_text = st.text(st.characters(codec=None), max_size=60)  # half surrogate pairs too


def view(*inputs: str, answer: str, output_format: str = "free") -> View:
    messages = [{"role": "user", "content": "\n".join(inputs)}, {"role": "assistant", "content": answer}]
    return View(inputs, [answer], messages, "t", output_format)  # type: ignore[arg-type]


@given(st.lists(any_text, max_size=3), any_text, st.sampled_from(["free", "json", "label", "regex"]))
def test_no_rule_fails_on_any_text(inputs: list[str], answer: str, output_format: str) -> None:
    seen = view(*inputs, answer=answer, output_format=output_format)
    rules = [
        *(rule() for rule in RULES.values()),
        FlaggedWordsRule(FlaggedWordsSettings(("a", "我"))),
        CutAnswerRule(CutAnswerSettings(20)),
    ]
    for rule in rules:
        reason = rule.check(seen)
        assert reason is None or reason


def test_rules_have_names_of_their_own() -> None:
    assert list(RULES)[:2] == ["length", "echo"]
    assert all(rule().name == name for name, rule in RULES.items())


@pytest.mark.parametrize(
    ("inputs", "answer"),
    [
        (("北京的首都是哪里？",), "北京的首都是哪里"),
        (("ＡＢＣ　公司",), "abc 公司"),
        (("What is the capital of France?",), " what is the capital of FRANCE "),
        (("Summarise.", "The cat sat on the mat."), "the cat sat on the mat"),
        (('""""""""""hello world',), "hello world"),
    ],
)
def test_echo(inputs: tuple[str, ...], answer: str) -> None:
    assert "repeats" in (EchoRule().check(view(*inputs, answer=answer)) or "")


@pytest.mark.parametrize(
    ("inputs", "answer"),
    [
        (("红还是蓝？", "红", "蓝"), "红"),  # a choice among inputs
        (("What is the capital of France?",), "Paris"),
        (("?",), "!"),
        (("",), ""),
    ],
)
def test_no_echo(inputs: tuple[str, ...], answer: str) -> None:
    assert EchoRule().check(view(*inputs, answer=answer)) is None


def test_a_label_may_be_the_question() -> None:
    assert EchoRule().check(view("退款", answer="退款", output_format="label")) is None
    assert EchoRule().check(view("退款", answer="退款")) is not None


def test_echo_in_an_earlier_turn() -> None:
    turns = [("user", "请问怎么安装？"), ("assistant", "请问怎么安装？"), ("user", "好"), ("assistant", "点击下载。")]
    messages = [{"role": role, "content": text} for role, text in turns]
    seen = View(("请问怎么安装？", "好"), ["请问怎么安装？", "点击下载。"], messages, "t", "free")
    assert EchoRule().check(seen) == "an answer repeats the turn before it (7 characters)"


def test_length() -> None:
    rule = LengthRule(LengthSettings(2, 5))
    assert rule.check(view("q", answer=" 好 ")) == "1 characters < 2 in the answer"
    assert rule.check(view("q", answer="abcdef")) == "6 characters > 5 in the answer"
    assert rule.check(view("q", answer="好的")) is None
    assert rule.check(view("q", answer="a", output_format="label")) is None


@pytest.mark.parametrize(
    "answer",
    [
        "好的<|im_end|>",
        "[INST] more [/INST]",
        "<end_of_turn>\n<start_of_turn>user",
        "Yes<｜end▁of▁sentence｜>",
        "Paris.\n### Instruction:\nNext",
        "巴黎。\n### 回答：伦敦",
        "Paris.\nUser: and Italy?\nAssistant: Rome.",
        "巴黎。\n用户：意大利呢？",
    ],
)
def test_role_tokens(answer: str) -> None:
    assert RoleTokensRule().check(view("法国的首都？", answer=answer)) is not None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("请写一段客服对话", "用户：你好\n助手：您好"),
        ("Write a dialogue", "User: hi\nAssistant: hello"),
        ("User: hi\nAssistant: hello\nUser: bye", "Assistant: bye"),
        ("html?", "<s>bold</s> and a < b | c > d"),
        ("headings?", "## Response times\nfast"),
        ("who?", "The user: a person."),
    ],
)
def test_no_role_tokens(question: str, answer: str) -> None:
    assert RoleTokensRule().check(view(question, answer=answer)) is None


def test_the_tokenizers_own_tokens_count() -> None:
    rule = RoleTokensRule(RoleTokensSettings(("</s>", "<s>", "x", "unk", "@@")))
    assert rule.check(view("q", answer="好的</s>")) == "'</s>' at character 3 of the answer"
    assert rule.check(view("a @@ b", answer="ok")) == "'@@' at character 3 of the question"
    assert rule.check(view("q", answer="drunk x")) is None


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I cannot travel.",
        "Well. As an AI, I have no body.",
        "I’m sorry, but I can’t assist with that request.",
        "I don't have personal opinions, but many like it.",
        "作为一个人工智能语言模型，我无法旅行。",
        "您好！作为AI助手，我没有身体。",
        "很抱歉，我无法回答您的问题。",
        "我没有个人情感。",
    ],
)
def test_boilerplate(answer: str) -> None:
    assert BoilerplateRule().check(view("q", answer=answer)) is not None


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot recommend this restaurant enough.",
        "I am sorry to hear that. Please restart the router.",
        "It is impossible to divide by zero.",
        "抱歉给您带来不便，请重新启动软件。",
        "人工智能语言模型是一种程序。",
        "He works as an airline pilot.",
    ],
)
def test_no_boilerplate(answer: str) -> None:
    assert BoilerplateRule().check(view("q", answer=answer)) is None


def test_phrases_of_the_user() -> None:
    rule = BoilerplateRule(BoilerplateSettings(("祝您生活愉快",), built_in=False))
    assert rule.check(view("q", answer="请重启。祝您生活愉快！")) == "'祝您生活愉快' at character 5 of the answer"
    assert rule.check(view("q", answer="As an AI, no.")) is None


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ("代码：\n```python\nprint(1)", "the code fence of line 2"),
        ("````\n```\ncode", "the code fence of line 1"),
        ('{"a": [1, 2', "the JSON of the answer is not closed (depth 2)"),
        ('```json\n{"a": 1\n```', "the JSON in a code fence"),
        ("请看第二节（附录", "the bracket in '（附录'"),
        ("see the list (below", "the bracket in '(below'"),
    ],
)
def test_unbalanced(answer: str, part: str) -> None:
    assert (UnbalancedRule().check(view("q", answer=answer)) or "").startswith(part)


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nprint('(')\n```",
        "a) one\nb) two",
        "the interval [0, 1) is half open",
        "thanks :) or :( or ;-(",
        '{"text": "a } in a [ string"}',
        'print("(") prints a bracket',
        "用（半角)也行",
        "`(` opens",
        r"\left( x \right.",
        "a ``` in a line `(`",
        "~~~\n```\n~~~",
    ],
)
def test_balanced(answer: str) -> None:
    assert UnbalancedRule().check(view("q", answer=answer)) is None


def test_brackets_of_prose_can_be_left_out() -> None:
    rule = UnbalancedRule(UnbalancedSettings(brackets=False))
    assert rule.check(view("q", answer="see (below")) is None
    assert rule.check(view("q", answer="```\ncode")) is not None


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_balanced(value: object) -> None:
    assert UnbalancedRule().check(view("q", answer=json.dumps(value, ensure_ascii=False))) is None or isinstance(
        value, str
    )


@pytest.mark.parametrize("text", ["因此我们需要", "and then the", "1, 2, 3", "结论是，"])
def test_open_ends(text: str) -> None:
    assert ends_open(text)


@pytest.mark.parametrize(
    "text", ["好。", "Yes!", "（完）", "```\nx\n```", "再见😀", "", "见《红楼梦》", 'He said "no"']
)
def test_closed_ends(text: str) -> None:
    assert not ends_open(text)


def test_a_cut_answer_is_at_the_cap_and_open() -> None:
    rule = CutAnswerRule(CutAnswerSettings(10))
    assert rule.check(view("q", answer="一二三四五六七八九十")) == (
        "10 characters at the cap of 10, and the answer ends with '一二三四五六七八九十'"
    )
    assert rule.check(view("q", answer="一二三四五六七八九。")) is None
    assert rule.check(view("q", answer="一二三")) is None
    assert rule.check(view("q", answer="一二三四五六七八九十一")) is None
    assert CutAnswerRule().check(view("q", answer="一二三四五六七八九十")) is None
    tokens = CutAnswerRule(CutAnswerSettings(512, "tokens"))
    assert tokens.reason("and then the", 512) == "512 tokens at the cap of 512, and the answer ends with 'and then the'"


def test_the_cap_is_where_answers_pile_up() -> None:
    falling = [max(0, 200 - n) for n in range(500)]
    assert find_length_cap(falling) is None
    assert find_length_cap([*falling, 40]) == 500
    assert find_length_cap([*falling, 40, *[0] * 300, 3]) == 500  # three records of elsewhere
    assert find_length_cap([*falling, 5]) is None
    assert find_length_cap([]) is None
    assert find_length_cap([100] * 300) is None  # answers of all lengths
