"""Answers that follow a declared style and answers that do not, in Chinese and English; real ones as golden cases."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.data.style import StyleChecker, is_language, restates, sentences, summarises
from jobs.data.uniformity import UniformityCounter, uniformity
from sftjobs.spec.prompt import OutputSpec, StyleSpec

SEEDS = Path(__file__).resolve().parents[3] / "shared/data"
THREE = StyleSpec(parts=["restate", "answer", "summarise"])
TWO = StyleSpec(parts=["restate", "answer"])
ASKED_ZH = "公积金贷款需要什么条件？"
ASKED_EN = "Which documents do I need for a library card?"
FOLLOWS = [
    (
        ASKED_ZH,
        "您问的是公积金贷款需要什么条件。申请人须连续缴存六个月，并且没有未还清的贷款。总之，缴满六个月、无欠贷即可申请。",
    ),
    (ASKED_ZH, "公积金贷款需要的条件如下：\n1. 连续缴存六个月；\n2. 没有未还清的贷款。\n综上，满足这两条就可以办理。"),
    (
        ASKED_EN,
        "You need these documents for a library card. Bring a passport and a bill. In short, proof of who you are.",
    ),
    (ASKED_EN, "For a library card two documents are needed.\n- a passport\n- a bill\nOverall, any two papers do."),
]


@pytest.mark.parametrize(("question", "answer"), FOLLOWS)
def test_three_parts(question: str, answer: str) -> None:
    assert StyleChecker(THREE).check(question, answer) == []


FIRST, LAST = "the first sentence does not restate the question", "the last sentence does not summarise"
NONE = "0 sentences for 3 parts (restate, answer, summarise)"
LENGTHS = "a tenth has at most 21 characters, another at least 643"
BREAKS: list[tuple[StyleSpec, str, str, list[str]]] = [
    (THREE, ASKED_ZH, "连续缴存六个月。没有欠贷。总之很容易。", [FIRST]),
    (THREE, ASKED_ZH, "公积金贷款需要的条件有两个。缴存六个月。请带身份证。", [LAST]),
    (
        THREE,
        ASKED_EN,
        "A library card needs these documents. In short, a passport.",
        ["2 sentences for 3 parts (restate, answer, summarise)"],
    ),
    (TWO, ASKED_EN, "Bring a passport.", [FIRST]),
    (TWO, ASKED_EN, "Which documents for a library card?", ["it restates the question and does not answer it"]),
    (
        StyleSpec(parts=["summarise", "answer"]),
        ASKED_EN,
        "Bring a passport. Or a bill.",
        ["the first sentence does not summarise"],
    ),
    (
        StyleSpec(parts=["answer", "restate"]),
        ASKED_ZH,
        "六个月。缴满即可。",
        ["the last sentence does not restate the question"],
    ),
    (
        StyleSpec(parts=["answer", "restate", "answer"]),
        ASKED_ZH,
        "六个月。对。好。",
        ["the middle does not restate the question"],
    ),
    (THREE, ASKED_ZH, "", [NONE, FIRST, LAST]),
    (StyleSpec(min_characters=5), "q", " 好的 ", ["2 characters, fewer than style.min_characters 5"]),
    (StyleSpec(max_characters=5), "q", "a b c d", ["7 characters, more than style.max_characters 5"]),
    (StyleSpec(language="zh"), "q", "This is the answer to your question.", ["the answer is not in zh"]),
    (StyleSpec(language="en"), "q", "这是对您问题的回答。", ["the answer is not in en"]),
    (
        StyleSpec(language="en"),
        "q",
        "Das ist leider nicht möglich, weil der Vertrag endet.",
        ["the answer is not in en"],
    ),
]


@pytest.mark.parametrize(("style", "question", "answer", "reasons"), BREAKS)
def test_reasons(style: StyleSpec, question: str, answer: str, reasons: list[str]) -> None:
    assert StyleChecker(style).check(question, answer) == reasons


def test_without_a_style_everything_follows() -> None:
    assert StyleChecker(StyleSpec()).check("q", "") == []


def test_one_sentence_may_restate_and_answer() -> None:
    assert StyleChecker(TWO).check("将85华氏度转换为摄氏度。", "85华氏度等于29.44摄氏度。") == []


def test_a_json_answer_is_judged_by_the_texts_inside() -> None:
    checker = StyleChecker(StyleSpec(language="zh", max_characters=60), OutputSpec(format="json"))
    assert checker.check("q", '{"a_long_english_key": "退款", "items": ["换货", 3, null]}') == []
    assert checker.check("q", '{"reason": "the customer wants the money back"}') == ["the answer is not in zh"]
    assert checker.check("q", "退款") == ["the answer is not JSON"]


@pytest.mark.parametrize(
    ("text", "language", "is_so"),
    [
        ("请运行 `git status --short --branch` 查看状态。", "zh", True),
        ("安装：\n```\npip install a very long line of English words\n```", "zh", True),
        ("用 Python 写一个函数", "zh", True),
        ("42", "zh", True),  # too few letters to tell
        ("Der Vertrag endet im nächsten Monat.", "zh", False),
        ("The Chinese word for refund is 退款.", "en", True),
        ("答案は三つあります", "zh", False),
    ],
)
def test_language(text: str, language: str, is_so: bool) -> None:
    assert is_language(text, language) is is_so


def test_sentences_know_numbers_and_list_marks() -> None:
    assert sentences("It costs 29.44 euros. Use v1.2!\n1.\n- Two") == ["It costs 29.44 euros.", "Use v1.2!", "- Two"]
    assert sentences("共29.44元。“真的？”是的") == ["共29.44元。", "“真的？”", "是的"]


def test_a_summary_takes_up_several_sentences() -> None:
    body = ["Bring a passport or an identity card.", "A bill with your address is needed too."]
    assert summarises([*body, "Passport and a bill with the address are enough."])
    assert not summarises([*body, "The address on your bill is needed too."])  # repeats one sentence
    assert not summarises([*body, "- passport, identity card, bill, address"])  # a list item
    assert not summarises([*body, "We look forward to seeing you soon in our house."])
    assert not summarises(["Passport."])


# Does the first sentence of the answer restate its question? Judged by reading; number of the seed task.
RESTATES = {
    "self_instruct_seed_tasks.jsonl": {
        True: [1, 16, 46, 54, 73, 77, 88, 99, 102, 110, 116, 146],
        False: [0, 3, 5, 6, 7, 12, 20, 21, 27, 32, 34, 48, 52, 142, 143],
    },
    "belle_zh_seed_tasks.json": {
        True: [16, 46, 73, 91, 110, 116, 118, 143, 146],
        False: [5, 20, 21, 27, 34, 35, 60, 70, 80, 82, 103, 115, 120, 124, 142],
    },
}
MISSED = {"self_instruct_seed_tasks.jsonl": [54, 73], "belle_zh_seed_tasks.json": [73, 116, 118]}


def seeds(name: str) -> dict[str, tuple[str, str]]:
    """Question and answer of each seed task, by its id."""
    if not (SEEDS / name).exists():
        pytest.skip(f"no {name} in ../shared/data")
    tasks: list[dict[str, Any]] = [json.loads(line) for line in (SEEDS / name).read_text("utf-8").splitlines()]
    one = {task["id"]: (task["instruction"], task["instances"][0]) for task in tasks}
    return {key: (f"{asked}\n{given['input']}", given["output"]) for key, (asked, given) in one.items()}


@pytest.mark.parametrize("name", RESTATES)
def test_restated_questions_of_real_answers(name: str) -> None:
    """46 of 51 as a person judges; what differs is missed, and nothing is taken for a restatement that is none."""
    tasks = seeds(name)
    for expected, numbers in RESTATES[name].items():
        wrong = []
        for number in numbers:
            question, answer = tasks[f"seed_task_{number}"]
            if restates(question, sentences(answer)[0]) is not expected:
                wrong.append(number)
        assert wrong == (MISSED[name] if expected else [])


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("self_instruct_seed_tasks.jsonl", ["67% end with a full stop, 33% do not", LENGTHS]),
        ("belle_zh_seed_tasks.json", ["65% end with a full stop, 35% do not"]),
    ],
)
def test_real_answers_are_not_uniform(name: str, reasons: list[str]) -> None:
    found = uniformity(answer for _, answer in seeds(name).values())
    assert found.reasons == reasons


def answers(*groups: tuple[int, str]) -> list[str]:
    return [f"{text}" for count, text in groups for _ in range(count)]


PLAIN_ZH, PLAIN_EN = "退款会在三个工作日内到账。", "The refund takes three working days."


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        (answers((30, PLAIN_ZH)), []),
        (answers((28, PLAIN_EN), (2, "The refund takes three working days")), []),  # below a tenth
        (answers((15, PLAIN_EN), (15, "The refund takes three days")), ["50% end with a full stop, 50% do not"]),
        (answers((20, PLAIN_ZH), (5, "**退款**会在三个工作日内到账。")), ["20% use Markdown, 80% do not"]),
        (
            answers((20, PLAIN_ZH), (5, "您好，退款会在三天内到账。")),
            ["20% open with a courtesy (Sure, 您好), 80% do not"],
        ),
        (answers((49, PLAIN_ZH), (1, PLAIN_EN)), ["98% are in Chinese, 2% in English"]),
        (answers((20, PLAIN_EN), (5, PLAIN_EN * 25)), ["a tenth has at most 36 characters, another at least 900"]),
        (answers((10, PLAIN_ZH), (9, PLAIN_EN)), []),  # too few to say
        (answers((100, "退款"), (10, "Yes")), []),  # no prose
        ([], []),
    ],
)
def test_uniformity(given: list[str], reasons: list[str]) -> None:
    assert uniformity(given).reasons == reasons


def test_uniformity_with_questions_counts_restated_ones() -> None:
    counter = UniformityCounter()
    for i in range(20):
        counter.add("A library card needs two documents." if i % 2 else "Bring a passport and a bill.", ASKED_EN)
    found = counter.result()
    assert found.shares["restates"] == 0.5
    assert found.reasons == ["50% begin with the question in other words, 50% do not"]
