"""Metrics against the libraries that define them, and against counts by hand."""

import random
from itertools import pairwise
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF
from sklearn.metrics import accuracy_score, f1_score

from jobs.answers.metrics import BUILT_IN, Answered, NotScored, load
from jobs.answers.metrics.classes import UNREADABLE, said_class
from jobs.answers.metrics.numeric import Number, chinese_integer, last_number
from jobs.answers.metrics.overlap import longest_common_subsequence, tokens
from jobs.answers.parse import parser
from jobs.answers.predict import Prediction, predict
from sftjobs.errors import DataError
from sftjobs.plan.configs import MetricConfig
from sftjobs.spec.prompt import OutputSpec, PromptSpec

LABELS = ["balance", "transfer", "out_of_scope", "查询余额"]
FREE = parser(PromptSpec(input="{{ x }}"))
JSON = parser(PromptSpec(input="{{ x }}", output=OutputSpec(format="json")))
LABEL = parser(PromptSpec(input="{{ x }}", labels=dict.fromkeys(LABELS, ""), output=OutputSpec(format="label")))


def _score(name: str, expected: str, text: str, parse: Any = FREE) -> Any:
    return BUILT_IN[name].score(Answered({"id": "e1"}, expected, text, parse(expected), parse(text)))


def _lines(expected: list[str], said: list[str], *names: str) -> list[Prediction]:
    metrics = [BUILT_IN[name] for name in names]
    return [
        predict({"id": str(i), "task": "t", "label": want}, want, text, LABEL, metrics)
        for i, (want, text) in enumerate(zip(expected, said, strict=True))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_macro_f1_and_accuracy_are_those_of_scikit_learn(seed: int) -> None:
    draw = random.Random(seed)
    expected = draw.choices(LABELS[: draw.choice([1, 2, 4])], k=draw.choice([1, 5, 40]))
    said = [draw.choice([want, *LABELS, "I cannot say", ""]) for want in expected]
    lines = _lines(expected, said, "macro_f1", "accuracy")
    told = [said_class(line) for line in lines]
    theirs = f1_score(expected, told, labels=sorted(set(expected)), average="macro", zero_division=0)
    assert BUILT_IN["macro_f1"].value(lines) == pytest.approx(theirs, abs=1e-12)
    assert BUILT_IN["accuracy"].value(lines) == pytest.approx(accuracy_score(expected, told), abs=1e-12)


def test_macro_f1_by_hand() -> None:
    # balance: TP 1, FN 1, FP 1 -> 1/2; transfer: TP 1, FP 1 -> 2/3; out_of_scope: FN 1 -> 0
    lines = _lines(
        ["balance", "balance", "transfer", "out_of_scope"], ["balance", "transfer", "Transfer.", "Balance"], "macro_f1"
    )
    assert BUILT_IN["macro_f1"].value(lines) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert [line["correct"] for line in lines] == [True, False, True, False]
    assert said_class(_lines(["balance"], ["hm, hard to say what it may be"], "macro_f1")[0]) == UNREADABLE


def test_exact_match_and_format_ask_for_the_format_as_it_stands() -> None:
    found = {
        text: [_score(name, "balance", text, LABEL) for name in ("accuracy", "exact_match", "format")]
        for text in ("balance\n", "Balance", "transfer", "no idea")
    }
    assert found == {
        "balance\n": [True, True, True],
        "Balance": [True, False, False],
        "transfer": [False, False, True],
        "no idea": [False, False, False],
    }


@pytest.mark.parametrize(
    ("expected", "said", "value"),
    [
        ('{"a": 1, "b": "x"}', '{"b": "x", "a": 1.0}', 1.0),
        # common a; expected a, b; said a, c, d -> 2 * 1 / (2 + 3)
        ('{"a": 1, "b": "x"}', '{"a": 1, "c": "x", "d": true}', 2 / 5),
        # the order of a list does not count, how often an element occurs does: 2 * 2 / (3 + 2)
        ('{"a": ["x", "y", "x"]}', '{"a": ["y", "x"]}', 4 / 5),
        ('{"a": 1}', '{"a": true}', 0.0),
        ('{"a": {"b": 1}}', '{"a": {"c": 1}}', 0.0),
        ('{"a": []}', '{"a": []}', 1.0),
        ('{"a": []}', '{"a": {}}', 0.0),
        ('{"金额": "１００"}', '{"金额": "100"}', 0.0),
        ('{"a": null, "b": 2}', '{"a": null}', 2 / 3),
        ('{"a": 1}', "no JSON", 0.0),
        ("[1, 2]", "[2, 1]", 1.0),
        ("5", "5", 1.0),
    ],
)
def test_json_f1_by_hand(expected: str, said: str, value: float) -> None:
    assert _score("json_f1", expected, said, JSON) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 42.", 42),
        ("3 + 4 = 7", 7),
        ("1,234,567.5 dollars", 1_234_567.5),
        ("1\u202f234\u00a0567", 1_234_567),
        ("1'234", 1234),
        ("in 2024 100 people", 100),
        ("1,23", 23),
        ("-5", -5),
        ("−5 °C", -5),
        ("a range of 3-5", 5),
        ("(-3.5)", -3.5),
        ("about -$1,000", -1000),
        (".5", 0.5),
        ("3/4", 0.75),
        ("2024/05/06", 6),
        ("1.5e-3", 0.0015),
        ("答案是３４５", 345),
        ("１，２３４．５", 1234.5),
        ("一共 12 个", 12),
        ("共1.5万元", 15_000),
        ("3亿", 3e8),
        ("三百二十", 320),
        ("一万零五", 10_005),
        ("三亿五千万", 350_000_000),
        ("二〇二四年", 2024),
        ("两千", 2000),
        ("负三点五", -3.5),
        ("1/0", None),
        ("none", None),
        ("", None),
    ],
)
def test_the_number_in_a_text(text: str, value: float | None) -> None:
    found = last_number(text)
    assert (None if found is None else found.value) == (None if value is None else pytest.approx(value))


def test_numbers_in_chinese_characters() -> None:
    assert chinese_integer("三五十") is None
    assert chinese_integer("十") == 10
    assert chinese_integer("一百零八") == 108
    assert last_number("百分之五十") == Number(50.0, percent=True)


@pytest.mark.parametrize(
    ("expected", "said", "right"),
    [
        ("42", "I think it is 42", True),
        ("1000000", "1,000,000.5", True),  # 5e-7
        ("1000000", "1,000,002", False),  # 2e-6
        ("0", "0.0", True),
        ("0", "0.0001", False),
        ("50%", "50 ％", True),
        ("50%", "0.5", True),
        ("0.5", "50%", True),
        ("50", "50%", True),
        ("50%", "5%", False),
        ("1.2万", "12,000", True),
        ("#### 18", "18", True),
        ("18", "I do not know", False),
    ],
)
def test_numeric(expected: str, said: str, right: bool) -> None:
    assert _score("numeric", expected, said) is right


def test_an_expected_answer_without_a_number_has_no_score_and_a_reason() -> None:
    line = predict({"id": "a", "task": "t"}, "none of them", "5", FREE, [BUILT_IN["numeric"], BUILT_IN["chrf"]])
    assert line["scores"]["numeric"] is None
    assert line["score_notes"] == {"numeric": "the expected answer holds no number"}
    assert line["correct"] is None
    assert BUILT_IN["numeric"].value([line]) is None


ENGLISH = (
    "The cat sat on the mat, near the door.",
    "On the mat sat the cat",
    "It's 5 o'clock; well-known facts: a_b, C3PO!",
    "nothing in common here",
    "the the the cat cat",
)


@pytest.mark.parametrize("expected", ENGLISH)
@pytest.mark.parametrize("said", ENGLISH)
def test_rouge_l_is_that_of_the_library_on_english(expected: str, said: str) -> None:
    theirs = RougeScorer(["rougeL"]).score(expected, said)["rougeL"].fmeasure
    assert _score("rouge_l", expected, said) == pytest.approx(theirs, abs=1e-12)


class _Characters:
    def tokenize(self, text: str) -> list[str]:
        return list(text)


@pytest.mark.parametrize("seed", range(20))
def test_rouge_l_of_chinese_is_that_of_the_library_over_characters(seed: int) -> None:
    draw = random.Random(seed)
    expected, said = ("".join(draw.choices("我想查询账户余额请稍等", k=draw.randint(1, 90))) for _ in range(2))
    theirs = RougeScorer(["rougeL"], tokenizer=_Characters()).score(expected, said)["rougeL"].fmeasure
    assert _score("rouge_l", expected, said) == pytest.approx(theirs, abs=1e-12)
    assert theirs > 0  # the library's own tokenizer would give 0


def test_tokens_of_mixed_text() -> None:
    assert tokens("Hello, 我的iPhone１５ 很好！") == ["hello", "我", "的", "iphone15", "很", "好"]
    assert tokens("カタカナ を") == ["カ", "タ", "カ", "ナ", "を"]
    assert tokens("café_ñ") == ["café", "ñ"]
    assert longest_common_subsequence([], ["a"]) == 0
    assert _score("rouge_l", "！！", "！！") == 1.0
    assert _score("rouge_l", "！！", "好") == 0.0
    assert _score("rouge_l", "好", "") == 0.0


@pytest.mark.parametrize(
    ("expected", "said"),
    [*pairwise(ENGLISH), ("我想查询余额", "查询我的余额"), ("好", ""), ("a", "a")],
)
def test_chrf_is_that_of_sacrebleu(expected: str, said: str) -> None:
    theirs = CHRF().sentence_score(said, [expected]).score / 100
    assert _score("chrf", expected, said) == pytest.approx(theirs, abs=1e-12)


def test_the_thoughts_of_a_model_are_not_compared() -> None:
    said = "<think>The customer wants\n something else entirely.</think>\n\nyour balance is 5"
    assert _score("rouge_l", "your balance is 5", said) == 1.0
    assert _score("chrf", "your balance is 5", said) == pytest.approx(1.0)


def test_the_value_of_many_is_the_mean_of_those_with_a_score() -> None:
    metric = BUILT_IN["chrf"]
    assert metric.value([{"scores": {"chrf": value}} for value in (0.5, None, 1.0)]) == 0.75
    assert metric.value([{"scores": {"chrf": None}}]) is None


def test_loading() -> None:
    names = ["accuracy", "loss"]
    found = load([MetricConfig(name=name) for name in names], lambda name: None)  # type: ignore[arg-type, return-value]
    assert [(metric.name, metric.kind, metric.lower_is_better) for metric in found] == [
        ("accuracy", "binary", False),
        ("loss", "mean", True),
    ]
    assert isinstance(_score("loss", "a", "a"), NotScored)
    with pytest.raises(DataError, match="there is no metric 'bleu'; there are accuracy, macro_f1, exact_match"):
        load([MetricConfig(name="bleu")], lambda name: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(DataError, match="'chrf' is there twice"):
        load([MetricConfig(name="chrf")] * 2, lambda name: None)  # type: ignore[arg-type, return-value]
