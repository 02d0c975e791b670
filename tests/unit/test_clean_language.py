"""Scripts, languages, and answers in another language than the question."""

import socket

import pytest

from jobs.data.clean.language import LanguageRule, LanguageSettings
from jobs.data.clean.script import language_of, shares
from jobs.data.clean.text import View

EN = "The capital of this country is a large city with many parks and museums."
FR = "La capitale de ce pays est une grande ville avec beaucoup de parcs et de musées."
ZH = "这个国家的首都是一座有很多公园和博物馆的大城市。"
JA = "この国の首都は公園と博物館がたくさんある大きな都市です。"


def view(question: str, answer: str, output_format: str = "free", around: str = "") -> View:
    messages = [{"role": "system", "content": around}] if around else []
    messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return View((question,), [answer], messages, "t", output_format)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (EN, "en"),
        (FR, "fr"),
        (ZH, "zh"),
        (JA, "ja"),
        ("서울은 한국의 수도입니다", "ko"),
        ("Москва - столица России", "cyrillic"),
        ("القاهرة عاصمة مصر", "arabic"),
        ("Ja", "none"),
        ("12 + 3 = 15", "none"),
        ("", "none"),
        ("请先打开 Microsoft Word 2021", "zh"),
        ("\ud800" + EN.replace("The", "Le"), "en"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert language_of(text, shares(text)) == language


def test_letters_by_script() -> None:
    assert shares("我用 Word 2021, ок?") == {"han": 2, "latin": 4, "cyrillic": 2}
    assert shares("ⲁⲃ 你") == {"han": 1, "other": 2}


def test_the_model_is_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.data.clean import script

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    script._detector.cache_clear()
    assert script.latin_language(FR) == "fr"


@pytest.mark.parametrize(("question", "answer"), [(ZH, EN), (EN, ZH), (EN, FR), (FR, EN), (ZH, JA), (JA, ZH)])
def test_another_language(question: str, answer: str) -> None:
    reason = LanguageRule().check(view(question, answer))
    assert reason is not None and reason.startswith("the answer is in ")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (ZH, ZH),
        (EN, EN),
        ("把这句话翻译成英文：" + ZH, EN),
        ("Translate into French: " + EN, FR),
        ("请总结下面的文章：" + EN, EN),
        ("请总结下面的文章：" + EN, ZH),
        ("谁写了哈姆雷特？", "William Shakespeare"),
        ("用代码求和：列表里有很多数字", "def total(values):\n    return sum(values[i] for i in range(len(values)))"),
        ("写一段程序，计算列表的和", "```python\nprint(sum([1, 2, 3])) # the sum of the values in the list\n```"),
        ("A001", ZH),
        ("OK", FR),
    ],
)
def test_no_other_language(question: str, answer: str) -> None:
    assert LanguageRule().check(view(question, answer)) is None


def test_the_prompt_around_may_ask_for_it() -> None:
    assert LanguageRule().check(view(ZH, EN, around="Answer each question of a customer briefly and politely.")) is None
    assert LanguageRule().check(view(ZH, EN, around="简短回答")) is not None


def test_a_demanded_language() -> None:
    rule = LanguageRule(LanguageSettings(expected="zh"))
    assert rule.check(view(EN, EN)) == "the answer is in en, the prompt file demands zh"
    assert rule.check(view(EN, ZH)) is None


def test_only_free_answers() -> None:
    assert LanguageRule().check(view(ZH, EN, "label")) is None


def test_translations_can_be_looked_at_too() -> None:
    seen = view("请翻译这句话：" + ZH, EN)
    assert LanguageRule().check(seen) is None
    assert LanguageRule(LanguageSettings(translations=True)).check(seen) is not None


@pytest.mark.parametrize(
    ("answer", "language"),
    [(EN, "en"), (ZH, "zh"), (FR, "other"), ("退款", "zh"), ("refund", "en"), ("42", "none"), (JA, "other")],
)
def test_language_for_counting(answer: str, language: str) -> None:
    assert view("q", answer).answer_language == language
