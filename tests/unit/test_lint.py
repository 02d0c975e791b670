"""Every rule of the prompt lint that needs only the prompt finds its flaw, and is silent where there is none."""

import re
from pathlib import Path
from typing import Any

import pytest

from sftjobs.lint import Finding, lint
from sftjobs.spec.lines import Lines
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.source import Source
from sftjobs.spec.yaml_tree import parse

ROOT = Path(__file__).resolve().parents[2]
REALISTIC = sorted((Path(__file__).parent / "lint_prompts").glob("*.yaml"))
EN: dict[str, Any] = {
    "system": "You are a support agent.",
    "instruction": "Answer the question in plain words.",
    "input": "Question: {{ text }}",
}
ZH: dict[str, Any] = {"system": "你是客服。", "instruction": "用平实的话回答问题。", "input": "问题：{{ 内容 }}"}
LABEL_EN = EN | {
    "instruction": "Answer with exactly one label.\n{{ labels }}",
    "labels": {"payment": "invoices and refunds", "delivery": "parcels that are late"},
    "output": {"format": "label"},
}
LABEL_ZH = ZH | {
    "instruction": "只回答一个标签：\n{{ labels }}",
    "labels": {"退款": "要求退钱的留言", "物流": "包裹晚到或丢失"},
    "output": {"format": "label"},
}
SCHEMA = {"type": "object", "required": ["name"], "properties": {"name": {}, "age": {}}}
JSON_EN = EN | {"instruction": "Answer with one JSON object.", "output": {"format": "json", "json_schema": SCHEMA}}
JSON_ZH = ZH | {"instruction": "只输出一个 JSON 对象。", "output": {"format": "json", "json_schema": SCHEMA}}


def found(base: dict[str, Any], **changes: Any) -> list[Finding]:
    return lint(PromptSpec.model_validate(base | changes))


def ids(base: dict[str, Any], **changes: Any) -> list[str]:
    return [one.id for one in found(base, **changes)]


@pytest.mark.parametrize("base", [EN, ZH, LABEL_EN, LABEL_ZH, JSON_EN, JSON_ZH])
def test_a_sound_prompt_has_no_finding(base: dict[str, Any]) -> None:
    assert found(base) == []


# (rule, base, what is changed, excerpt or a part of the message)
FLAWS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("P01", EN, {"system": None}, "no system message"),
    ("P01", ZH, {"system": None}, "no system message"),
    ("P01", EN, {"input": "{{ text }}"}, 'input: "Text: {{ text }}"'),
    ("P01", ZH, {"input": "{{ 内容 }}"}, 'input: "文本：{{ 内容 }}"'),
    ("P01", LABEL_EN, {"instruction": "Answer with exactly one label."}, "'payment' stands nowhere"),
    ("P01", LABEL_ZH, {"instruction": "只回答一个标签。"}, "'退款' stands nowhere"),
    ("P01", LABEL_EN, {"instruction": "Read this:\n{{ labels }}"}, "label is not said in words"),
    ("P01", LABEL_ZH, {"instruction": "阅读：\n{{ labels }}"}, "只回答下列标签中的一个"),
    ("P01", JSON_EN, {"instruction": "Extract name and age."}, "json is not said in words"),
    ("P01", JSON_ZH, {"instruction": "提取姓名和年龄。"}, "只输出一个 JSON 对象"),
    ("P01", EN, {"instruction": "Give the code.", "output": {"format": "regex", "pattern": "[A-Z]+"}}, "regex"),
    ("P01", JSON_EN, {"system": "The JSON desk.", "instruction": None}, "no instruction"),
    ("P01", JSON_ZH, {"system": "JSON 接口。", "instruction": None}, "no instruction"),
    ("P02", EN, {"system": "Be kind.", "instruction": "Answer. You are a doctor."}, "You are a"),
    ("P02", ZH, {"system": "要礼貌。", "instruction": "回答问题。你是医生。"}, "你是"),
    ("P02", EN, {"system": "Be kind. You are a doctor."}, "comes after other rules"),
    ("P02", ZH, {"system": "要礼貌。你是医生。"}, "comes after other rules"),
    ("P02", EN, {"input": "Text: {{ text }}\nNow answer the question about this text in one word."}, "Now answer"),
    ("P02", ZH, {"input": "文本：{{ 内容 }}\n请回答上面这段文本属于哪一类。"}, "请回答上面"),
    ("P03", EN, {"input": "Question: {{ text }} from {user}"}, "{user}"),
    ("P03", ZH, {"input": "问题：{{ 内容 }}，来自{用户}"}, "{用户}"),
    ("P03", EN, {"instruction": "Answer {text}."}, "{text}"),
    ("P03", LABEL_ZH, {"instruction": "只回答一个标签：\n{{ labels }}\n也就是{labels}"}, "write {{ labels }}"),
    ("P03", EN, {"input": "Question: {{ text | upper }}"}, "{{ text | upper }}"),
    ("P03", ZH, {"instruction": "{% if 内容 %}回答问题。{% endif %}"}, "{% if 内容 %}"),
    ("P03", EN, {"input": "Question: {{ text }} {{ user }"}, "opened and not closed"),
    ("P03", ZH, {"input": "问题：{{ 内容 }} 用户 }}"}, "closes nothing"),
    ("P03", EN, {"input": "Question: {{ text }}, one of {{ labels }}"}, "is a column of the data"),
    ("P03", EN, {"labels": {"a1": "the first kind"}}, "does not use them"),
    ("P03", ZH, {"labels": {"退款": "要求退钱的"}}, "does not use them"),
    ("P04", EN, {"instruction": "Answer about:\nrefunds\nlate parcels\nlost passwords"}, "3 items"),
    ("P04", ZH, {"instruction": "回答下面的问题：\n退款进度\n包裹位置\n密码找回\n其他"}, "4 items"),
    ("P04", EN, {"input": "{{ title }}\n{{ text }}"}, "separates title and text"),
    ("P04", ZH, {"input": "{{ 标题 }} {{ 内容 }}"}, "`标题：{{ 标题 }}` and `内容：{{ 内容 }}`"),
    ("P05", LABEL_EN, {"labels": {"payment": "", "delivery": "parcels that are late"}}, "is empty"),
    ("P05", LABEL_EN, {"labels": {"pay_bill": "Pay bill", "delivery": "parcels that are late"}}, "repeats the label"),
    ("P05", LABEL_EN, {"labels": {"payment": "money", "delivery": "parcels that are late"}}, "only 5 characters"),
    ("P05", LABEL_ZH, {"labels": {"退款": "钱", "物流": "包裹晚到或丢失"}}, "only 1 characters"),
    ("P06", LABEL_EN, {"labels": {"pay_bill": "wants to pay", "Pay-Bill": "asks how to pay"}}, "differ only in case"),
    ("P06", LABEL_ZH, {"labels": {"A类": "第一种情况", "Ａ类": "第二种情况"}}, "differ only in case"),
    ("P06", LABEL_EN, {"labels": {"complaint": "is not happy", "complaints": "was not happy"}}, "by one letter"),
    ("P06", LABEL_EN, {"labels": {"a1": "about money", "b1": "About  money"}}, "the same definition"),
    ("P06", LABEL_ZH, {"labels": {"退款": "关于钱的留言", "账单": "关于钱的留言"}}, "the same definition"),
    ("P07", ZH, {"instruction": "用平实的话回答,不要编造，不要重复，也不要猜。"}, "both ， (2) and , (1)"),
    ("P07", ZH, {"instruction": "回答问题（简单的)。"}, "opens in one width"),
    ("P07", ZH, {"instruction": '把“用户”写成"客户"。'}, "two kinds of quotation marks"),
    ("P07", EN, {"instruction": "Answer the question， and be kind."}, "full-width ，"),
    ("P07", EN, {"instruction": 'Write “user” as "customer" in the answer.'}, "two kinds of quotation marks"),
    ("P08", EN, {"input": '"""{{ text }}"""', "examples": [{"input": {"text": 'a """ b'}, "output": "x"}]}, '"""'),
    ("P08", ZH, {"input": "「{{ 内容 }}」", "examples": [{"input": {"内容": "点「确定」"}, "output": "好"}]}, "」"),
    ("P09", EN, {"instruction": "Answer with a JSON object."}, "asks for JSON, and output format is free"),
    ("P09", ZH, {"instruction": "按 JSON 格式输出。"}, "asks for JSON, and output format is free"),
    ("P09", JSON_EN, {"instruction": "Answer with JSON. Write the output as YAML."}, "YAML, and before for JSON"),
    ("P09", JSON_ZH, {"instruction": "只输出 JSON。最后输出 XML。"}, "XML, and before for JSON"),
    ("P09", LABEL_EN, {"instruction": "Answer with one or more labels.\n{{ labels }}"}, "more than one label"),
    ("P09", LABEL_ZH, {"instruction": "回答一个或多个标签：\n{{ labels }}"}, "more than one label"),
    ("P09", EN, {"instruction": "Answer yes or no."}, "lets nothing check them"),
    ("P09", ZH, {"instruction": "只回答“是”或“否”。"}, "lets nothing check them"),
    ("P09", JSON_EN, {"output": {"format": "json"}}, "any JSON value is right"),
    ("P09", JSON_ZH, {"output": {"format": "json"}}, "any JSON value is right"),
    ("P09", JSON_EN, {"instruction": 'Answer in JSON: {"name": "", "year": 1}'}, "'year' of the pattern is not in"),
    ("P09", JSON_ZH, {"instruction": '输出 JSON：{"age": 1}'}, "lacks 'name'"),
    (
        "P10",
        EN,
        {"instruction": "Answer in at most 3 words.", "examples": [{"input": {"text": "a"}, "output": "a b c d"}]},
        "has 4 words",
    ),
    (
        "P10",
        ZH,
        {"instruction": "回答不超过5字。", "examples": [{"input": {"内容": "问"}, "output": "这个回答太长了"}]},
        "has 7 characters",
    ),
    (
        "P10",
        EN,
        {"instruction": "Answer in English.", "examples": [{"input": {"text": "a"}, "output": "你好，客户"}]},
        "is not in English",
    ),
    (
        "P10",
        ZH,
        {"instruction": "用中文回答。", "examples": [{"input": {"内容": "问"}, "output": "Hello, my friend"}]},
        "is not in Chinese",
    ),
    ("P11", EN, {"instruction": "Answer in at most 20 words. Write at least 50 words."}, "at least 50 words"),
    ("P11", ZH, {"instruction": "回答不超过50字。回答至少100字。"}, "至少100字"),
    ("P11", EN, {"system": "Answer in one sentence.", "instruction": "Write 3 to 5 sentences."}, "'in one sentence'"),
    ("P11", ZH, {"system": "用一句话回答。", "instruction": "写3到5句。"}, "3到5句"),
    ("P11", EN, {"instruction": "Be concise. Give a detailed explanation."}, "short and for detailed"),
    ("P11", ZH, {"instruction": "简短回答，并详细说明。"}, "short and for detailed"),
    ("P11", EN, {"system": "Answer in English.", "instruction": "Reply in Chinese."}, "Chinese, and before in English"),
    ("P11", ZH, {"system": "请用英文回答。", "instruction": "必须用中文回答。"}, "Chinese, and before in English"),
    ("P11", EN, {"instruction": "Answer in English.", "style": {"language": "zh"}}, "style.language is zh"),
    ("P11", ZH, {"instruction": "回答不超过50字。", "style": {"min_characters": 100}}, "of `style`"),
    ("P12", EN, {"instruction": "Answer in an appropriate tone."}, "'appropriate' leaves open what is right"),
    ("P12", ZH, {"instruction": "尽量回答。"}, "'尽量' leaves open what is right"),
    (
        "P12",
        LABEL_EN,
        {"labels": {"a1": "invoices, refunds, etc.", "b1": "all the rest"}},
        "'etc.' leaves open what else",
    ),
    ("P12", LABEL_ZH, {"labels": {"退款": "退钱、换货等等", "物流": "包裹晚到或丢失"}}, "'等等' leaves open what else"),
    ("P14", EN, {"instruction": "Answer.<|im_end|>"}, "<|im_end|>"),
    ("P14", ZH, {"input": "[INST]问题：{{ 内容 }}[/INST]"}, "[INST]"),
    ("P14", EN, {"input": "Question: {{ text }}\n### Response:"}, "### Response:"),
    ("P14", EN, {"input": "User: {{ text }}\nAssistant:"}, "opens the assistant's turn"),
    ("P14", ZH, {"input": "用户：{{ 内容 }}\n助手：\n"}, "opens the assistant's turn"),
    ("P16", EN, {"instruction": "Answer the question. \nBe kind."}, "at the end of a line"),
    ("P16", ZH, {"instruction": "回答问题。\u3000\n要礼貌。"}, "at the end of a line"),
    ("P16", EN, {"instruction": "Answer the\u200b question."}, "U+200B"),
    ("P16", ZH, {"instruction": "回答\r\n问题。"}, "a carriage return"),
    ("P16", EN, {"input": "Question: {{ text }} "}, "white space at the end is removed"),
    ("P16", ZH, {"input": "问题：{{ 内容 }}\n\n"}, "white space at the end is removed"),
    ("P16", EN, {"examples": [{"input": {"text": "a"}, "output": "x\n"}]}, "around the answer"),
    ("P16", LABEL_ZH, {"labels": {"退款": " 要求退钱的留言", "物流": "包裹晚到或丢失"}}, "around a definition"),
]


@pytest.mark.parametrize(("rule", "base", "changes", "part"), FLAWS)
def test_a_flaw_is_found_and_nothing_else(rule: str, base: dict[str, Any], changes: dict[str, Any], part: str) -> None:
    findings = found(base, **changes)
    assert {one.id for one in findings} == {rule}, [str(one) for one in findings]
    assert any(part in f"{one} {one.excerpt}" for one in findings), [str(one) for one in findings]


# What looks like a flaw and is none.
SOUND: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (EN, {"instruction": None, "input": "{{ text }}"}),  # a chat
    (ZH, {"instruction": None, "system": None, "input": "{{ 内容 }}"}),
    (LABEL_EN, {"instruction": "Answer payment or delivery: which label fits?"}),  # names the labels itself
    (LABEL_ZH, {"instruction": "回答退款或物流，选择其中一个。"}),
    (EN, {"instruction": "Say whether you are sure. Answer the question."}),
    (ZH, {"instruction": "先说你是否确定。回答问题。"}),
    (EN, {"input": "Question: {{ text }}\nAnswer:"}),  # a cue
    (ZH, {"input": "问题：{{ 内容 }}\n回答："}),
    (EN, {"instruction": "Answer as {city}, {country}."}),  # a pattern of the answer
    (JSON_EN, {"instruction": 'Answer in JSON: {"name": {"age": 1}}'}),  # }} of JSON
    (EN, {"instruction": "Answer the question. Use plain words and keep the\nsame tone. Do not repeat the\nquestion."}),
    (EN, {"instruction": "Answer about:\n- refunds\n- late parcels\n- lost passwords"}),
    (ZH, {"instruction": "回答下面的问题：\n1. 退款进度\n2. 包裹位置\n3. 密码找回"}),
    (ZH, {"instruction": "回答问题。\n不要编造。\n不要重复。\n不要猜。"}),  # sentences end by themselves
    (LABEL_EN, {"labels": {"type_a": "the first kind", "type_b": "the second kind"}}),
    (LABEL_EN, {"labels": {"credit_limit": "what it is", "credit_limit_change": "wants another"}}),
    (LABEL_ZH, {"labels": {"退款": "要求退钱", "退货": "要求寄回"}}),
    (ZH, {"instruction": "回答问题，时间写成 12:30，网址照抄，例如 https://a.b/c?d=1，用 Python, C++ 或 Java。"}),
    (EN, {"instruction": "It's the user's question: answer it (don't guess)."}),
    (ZH, {"instruction": "点「确定」后回答“好”。"}),
    (EN, {"instruction": "Answer the question. Do not output JSON."}),
    (ZH, {"instruction": "回答问题，不要输出 Markdown。"}),
    (JSON_ZH, {"instruction": '输入是 {"id": 1} 这样的记录，只输出 JSON。'}),  # another object
    (EN, {"instruction": "Answer with a title of at most 5 words and a summary of at least 20 words."}),
    (ZH, {"instruction": "回答：标题不超过15字，摘要至少50字。"}),
    (EN, {"instruction": "Answer in English. If the question is in Chinese, answer in Chinese."}),
    (ZH, {"instruction": "用中文回答。如果问题是英文，用英文回答。"}),
    (EN, {"instruction": "Answer the question. Do not be too brief. Answer in detail."}),
    (EN, {"instruction": 'Answer the question without the words "etc." and "appropriate".'}),
    (ZH, {"instruction": "回答问题，不要出现“等等”“适当”。"}),
    (EN, {"instruction": "Answer and mark inappropriate remarks."}),
    (LABEL_ZH, {"labels": {"合理": "价格合理的评论", "不合理": "收费不合适的评论"}}),
    (EN, {"instruction": "Answer the question; HTML such as <b> stays as it is. Tags: #sale."}),
    (ZH, {"instruction": "回答问题。\n\n要礼貌。\n"}),
]


@pytest.mark.parametrize(("base", "changes"), SOUND)
def test_no_false_alarm(base: dict[str, Any], changes: dict[str, Any]) -> None:
    assert [str(one) for one in found(base, **changes)] == []


def from_file(path: Path) -> list[Finding]:
    tree = parse(path.read_bytes(), path.name)
    return lint(PromptSpec.model_validate(tree.value), Source(path.name, tree.lines))


def test_realistic_prompts() -> None:
    """Five Chinese and five English ones, written before the rules were run on them."""
    assert len(REALISTIC) == 10
    assert [str(one) for path in REALISTIC for one in from_file(path)] == [
        "en_tickets.yaml:10: input: P04 warning: only white space separates subject and body: the model cannot see "
        "where one ends; name each, for example `subject: {{ subject }}` and `body: {{ body }}`"
    ]


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/prompts/*.yaml")), ids=lambda path: path.name)
def test_the_prompts_of_the_examples(path: Path) -> None:
    assert [str(one) for one in from_file(path)] == []


def test_place_span_and_one_line() -> None:
    parts = ["  system: You are a clerk.", "  instruction: Answer in a suitable tone.", '  input: "Q: {{ q }}"']
    text = "\n".join(["name: x", "prompt:", *parts, ""])
    tree = parse(text.encode(), "run.yaml")
    [one] = lint(PromptSpec.model_validate(tree.value["prompt"]), Source("run.yaml", tree.lines, ("prompt",)))
    assert (one.file, one.line, one.path, one.excerpt) == ("run.yaml", 4, "prompt.instruction", "suitable")
    assert tree.value["prompt"]["instruction"][one.start : one.end] == "suitable"
    assert str(one) == (
        "run.yaml:4: prompt.instruction: P12 hint: 'suitable' leaves open what is right; "
        "say what counts, or give a number or a rule"
    )
    assert Finding(**one.as_json()) == one


def test_a_finding_of_a_label_with_dots_has_its_line() -> None:
    [one] = [
        found.at(Source("p.yaml", Lines({("labels",): 3, ("labels", "a.b"): 5})))
        for found in lint(PromptSpec.model_validate(LABEL_EN | {"labels": {"a.b": "x", "c1": "all the rest"}}))
    ]
    assert (one.id, one.line) == ("P05", 5)


def test_every_span_lies_in_its_text() -> None:
    for _, base, changes, _ in FLAWS:
        spec = base | changes
        for one in found(base, **changes):
            if one.start is None or one.path.startswith(("examples", "labels")):
                continue
            text = spec[one.path]
            assert 0 <= one.start < (one.end or 0) <= len(text), (one, text)


PAGE = (ROOT / "docs/prompt-lint.md").read_text("utf-8")
SECTIONS = {name: PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0] for name in (f"P{n:02}" for n in range(1, 19))}
WITH_EXAMPLES = [name for name, text in SECTIONS.items() if "\n    " in text]


def test_the_page_has_an_example_for_every_rule_that_needs_no_data() -> None:
    assert sorted({rule for rule, *_ in FLAWS}) == WITH_EXAMPLES


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_the_page(name: str) -> None:
    """Written over a sound prompt, the first block has the finding and the second has none."""
    blocks = [block for block in re.findall(r"(?:^    .*\n)+", SECTIONS[name], re.M) if block.strip()]
    results = []
    for block in blocks:
        value = parse(re.sub(r"^    ", "", block, flags=re.M).encode(), "page").value
        base = LABEL_ZH if re.search(r"[\u4e00-\u9fff]", block) else LABEL_EN
        if base is LABEL_EN:
            base = base | {"labels": {"refund": "wants money back", "parcel": "asks for a parcel"}}
        results.append({one.id for one in found(base, **value)})
    assert results == [{name}, set()]
