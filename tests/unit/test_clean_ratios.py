"""Ratios against their formulas written out, and the rules about ratios."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.clean.alphanumeric import AlphanumericRule, AlphanumericSettings
from jobs.data.clean.flagged_words import FlaggedWordsRule, FlaggedWordsSettings
from jobs.data.clean.ratios import (
    character_repetition,
    repeated_share,
    repeats_characters,
    signs,
    special,
    word_repetition,
    words,
)
from jobs.data.clean.repetition import RepetitionRule, RepetitionSettings
from jobs.data.clean.special_characters import SpecialCharactersRule, SpecialCharactersSettings
from jobs.data.clean.text import View

repeating = st.one_of(
    st.text(max_size=80),
    st.tuples(st.text("ab 我们。", min_size=1, max_size=6), st.integers(1, 30), st.text(max_size=20)).map(
        lambda parts: parts[0] * parts[1] + parts[2]
    ),
)


def view(answer: str, question: str = "", output_format: str = "free") -> View:
    inputs = (question,) if question else ()
    return View(inputs, [answer], [], "t", output_format)  # type: ignore[arg-type]


def by_formula(text: str, n: int) -> float:
    """methods.md 4.8, written out."""
    counts: Counter[str] = Counter()
    for i in range(len(text) - n + 1):
        counts[text[i : i + n]] += 1
    if not counts:
        return 0.0
    falling = sorted(counts.values(), reverse=True)
    once = len([count for count in falling if count == 1])
    k = min(int(len(falling) ** 0.5), len(falling) - once)
    return sum(falling[:k]) / sum(falling)


@given(repeating, st.integers(1, 12))
def test_character_repetition_is_the_formula(text: str, n: int) -> None:
    assert character_repetition(text, n) == by_formula(text, n)


@given(repeating, st.floats(0, 1), st.integers(1, 12))
def test_the_bound_never_hides_a_repetition(text: str, limit: float, n: int) -> None:
    ratio = by_formula(text, n)
    assert repeats_characters(text, limit, n) == (ratio if ratio > limit else None)


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 12))
def test_word_repetition_is_the_formula(found: list[str], n: int) -> None:
    counts = Counter(" ".join(found[i : i + n]) for i in range(len(found) - n + 1))
    expected = sum(count for count in counts.values() if count > 1) / counts.total() if counts else 0.0
    assert word_repetition(found, n) == expected


@given(repeating, st.floats(0, 1), st.integers(1, 12))
def test_repetition_of_letters_is_the_formula_for_words(text: str, limit: float, n: int) -> None:
    ratio = word_repetition(list(text), n)
    assert repeated_share(text, limit, n) == (ratio if ratio > limit else None)


@given(st.text())
def test_signs_are_not_fewer_than_special_characters(text: str) -> None:
    assert signs(text) >= special(text) * len(text) - 1e-9


def test_words_are_bare() -> None:
    assert words('1. The "Cat" (don\'t) -- x2\n数据。') == ["the", "cat", "don't", "x", "数据"]


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("", 0.0), ("abc 12", 0.0), ("a!b?", 0.5), ("你好。", 1 / 3), ("हिन्दी में", 0.0), ("می‌خواهم", 0.0)],
)
def test_special_characters(text: str, ratio: float) -> None:
    assert special(text) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("哈" * 40, "character repetition 1.00 > 0.60 in the answer"),
        ("请稍等，正在处理。" * 12, "word repetition 1.00 > 0.50 in the answer"),
        ("I do not know. " * 20, "word repetition 1.00 > 0.50 in the answer"),
    ],
)
def test_a_text_that_repeats_itself(text: str, reason: str) -> None:
    assert RepetitionRule().check(view(text)) == reason


def test_words_that_repeat_in_another_order_of_characters() -> None:
    sentence = "one two three four five six seven eight nine ten eleven twelve"
    reason = RepetitionRule().check(view(f"{sentence} 1 {sentence} 22 {sentence} 333 {sentence}"))
    assert reason is not None and "repetition" in reason


@pytest.mark.parametrize(
    "text", ["北京是中国的首都，也是全国的政治和文化中心。", "Paris is the capital of France.", "哈哈哈"]
)
def test_a_text_that_does_not(text: str) -> None:
    assert RepetitionRule().check(view(text)) is None


def test_the_question_repeats_itself() -> None:
    reason = "word repetition 1.00 > 0.50 in the question"
    assert RepetitionRule().check(view("好的", question="在吗？" * 30)) == reason
    assert RepetitionRule(RepetitionSettings(question=False)).check(view("好的", question="在吗？" * 30)) is None


def test_too_few_letters() -> None:
    rule = AlphanumericRule()
    assert rule.check(view("======= a =======")) == "share of letters and digits 0.06 < 0.10"
    assert rule.check(view("中文" + "！" * 10)) is None
    assert rule.check(view("🎉" * 5, question="庆祝用哪个表情？")) is None
    assert rule.check(view("")) is None


@given(st.text(max_size=200), st.floats(0, 1))
def test_alphanumeric_is_the_formula(text: str, least: float) -> None:
    too_few = bool(text.strip()) and sum(c.isalnum() for c in text) < least * len(text)
    reason = AlphanumericRule(AlphanumericSettings(least)).check(view(text))
    ratio = sum(c.isalnum() for c in text) / max(1, len(text))
    if abs(ratio - least) > 1e-9:  # at the limit itself a rounding decides
        assert (reason is not None) == too_few


def test_too_many_signs() -> None:
    rule = SpecialCharactersRule()
    assert rule.check(view("★☆★☆★ 优惠 ★☆★☆★")) == "share of special characters 0.71 > 0.40"
    assert rule.check(view("**Yes**, it is (mostly) true.")) is None
    listed = SpecialCharactersRule(SpecialCharactersSettings(0.25, frozenset("ab")))
    assert listed.check(view("abcd")) == "share of special characters 0.50 > 0.25"


def test_flagged_words_in_english() -> None:
    rule = FlaggedWordsRule(FlaggedWordsSettings(("Casino", "free money")))
    assert rule.check(view("Visit our CASINO today.")) == "share of flagged words 0.250 > 0.017: casino"
    assert rule.check(view("Get free money now")) == "share of flagged words 0.250 > 0.017: free money"
    assert rule.check(view("Occasionally casinos")) is None
    assert FlaggedWordsRule().check(view("casino")) is None


def test_flagged_words_in_chinese_are_found_by_joining_characters() -> None:
    rule = FlaggedWordsRule(FlaggedWordsSettings(("赌博", "博彩网", "网上娱乐城")))
    # 6 characters, 5 pairs, 4 triples
    assert rule.check(view("不要赌博好吗")) == f"share of flagged words {1 / 15:.3f} > 0.017: 赌博"
    assert rule.check(view("去博彩网玩")) == f"share of flagged words {1 / 12:.3f} > 0.017: 博彩网"
    assert rule.check(view("网上娱乐城")) == f"share of flagged words {1 / 12:.3f} > 0.017: 网上娱乐城"
    assert rule.check(view("赌注很博大")) is None


def test_a_flagged_chinese_word_in_another_language() -> None:
    rule = FlaggedWordsRule(FlaggedWordsSettings(("赌博",)))
    assert rule.check(view("do you like 赌博 or not")) == f"share of flagged words {1 / 6:.3f} > 0.017: 赌博"
    assert rule.check(view("they call it赌博there")) is not None


def test_one_flagged_word_in_a_long_text_passes() -> None:
    rule = FlaggedWordsRule(FlaggedWordsSettings(("casino",)))
    assert rule.check(view("casino " + "word " * 100)) is None
