"""Unicode repair mends what is broken and leaves the rest as it was written."""

import ftfy
import pytest
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.clean.repair import repair


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("schÃ¶n", "schön"),
        ("it doesnâ€™t", "it doesn’t"),
        ("ä½\xa0å¥½", "你好"),
        ("\ufeff你好\ufeff", "你好"),
        ("a\u200bb\u2060c", "abc"),
        ("a\x00b\x07c\x7f", "abc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\ud800b", "ab"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_mended(text: str, mended: str) -> None:
    assert repair(text) == mended


@pytest.mark.parametrize(
    "text",
    [
        "“curly” ‘quotes’ and ﬁ",
        "ＡＢＣ，全角。",
        "e\u0301 and é, naïve",
        "👨‍👩‍👧 🏳️‍🌈 👍🏽",
        "می‌خواهم",
        "\u202bשלום\u202c العربية",
        "ภาษา\u200bไทย",
        "&lt;b&gt; &amp;",
        "数学：∑ ≤ √2 ├──",
        "a\tb\nc",
        "क्‍ष",
        "Привет, Ω",
        "",
    ],
)
def test_left_alone(text: str) -> None:
    assert repair(text) == text


def test_clean_text_is_the_same_object() -> None:
    text = "干净的文字 and clean text"
    assert repair(text) is text


@given(st.text(st.characters(codec=None)))
def test_never_fails_and_leaves_nothing_to_mend(text: str) -> None:
    mended = repair(text)
    mended.encode("utf-8")
    assert not set(mended) & set("\x00\x08\x1f\x7f\u2060\ufeff")


@given(
    st.text(st.sampled_from("好的我你。，、？éüñ’“ab cжЯ"), min_size=4),
    st.sampled_from(["latin-1", "cp1252", "cp1250", "cp1251", "macroman", "cp437"]),
)
def test_the_short_way_misses_nothing_that_ftfy_mends(text: str, encoding: str) -> None:
    try:
        broken = text.encode("utf-8").decode(encoding)
    except UnicodeDecodeError:
        return
    if is_bad(broken):
        wanted = ftfy.fix_text(
            broken,
            unescape_html=False,
            uncurl_quotes=False,
            fix_character_width=False,
            fix_latin_ligatures=False,
            normalization=None,
        )
        assert repair(broken) == repair(wanted)
