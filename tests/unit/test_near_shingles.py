"""Texts as sets of shingles."""

import pytest

from jobs.data.near.shingles import is_east_asian, normalised, shingles, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I pay?", {"how do", "do i", "i pay"}),
        ("How do I  PAY", {"how do", "do i", "i pay"}),
        ("怎么付款", {"怎么付", "么付款"}),
        ("怎么 付款？", {"怎么付", "么付款"}),
        ("ＡＢＣ　ｄｅｆ", {"abc def"}),
        ("app怎么付款呢", {"app", "pp怎", "p怎么", "怎么付", "么付款", "付款呢"}),
        ("用 app pay", {"用 app", "app pay"}),
        ("好", {"好"}),
        ("谢谢", {"谢谢"}),
        ("yes", {"yes"}),
        ("？？！", {"？？！"}),
        ("", {""}),
        ("👍", {"👍"}),
    ],
)  # fmt: skip
def test_shingles(text: str, expected: set[str]) -> None:
    assert shingles(text) == expected


def test_texts_without_words_are_compared_as_they_are() -> None:
    assert shingles("👍") != shingles("👎")


@pytest.mark.parametrize(
    ("text", "plain", "parts"),
    [
        ("  It's  done. ", "it s done", ["it", "s", "done"]),
        ("退款，谢谢！", "退款 谢谢", ["退", "款", "谢", "谢"]),
        ("１２３ Straße", "123 strasse", ["123", "strasse"]),
        ("", "", []),
    ],
)
def test_normalised_and_tokens(text: str, plain: str, parts: list[str]) -> None:
    assert normalised(text) == plain
    assert tokens(plain) == parts


@pytest.mark.parametrize(
    ("plain", "expected"), [("退款 ok", False), ("退款吧 ok", True), ("テスト", True), ("", False), ("naïve", False)]
)
def test_east_asian_is_more_than_half(plain: str, expected: bool) -> None:
    assert is_east_asian(plain) is expected
