"""Passages that a text shares with a protected one."""

import pickle

import pytest

from jobs.data.near import NGramIndex
from jobs.data.near.overlap import RESIDUE

LONG = "janet sells sixteen fresh eggs at the market every day for two dollars each and bakes muffins"
CHINESE = "小明每天早上从家里走到学校需要二十五分钟如果他骑自行车去只需要十分钟请问他的速度是多少"


@pytest.mark.parametrize(
    ("protected", "text", "expected"),
    [
        (LONG, "Q: Janet sells sixteen fresh eggs at the market every day, for two dollars! Why?",
         "janet sells sixteen fresh eggs at the market every day for two dollars"),
        (LONG, "janet sells sixteen fresh eggs at the market every day for two euros each", None),
        (CHINESE, "题目：" + CHINESE[5:31] + "？", CHINESE[5:31]),
        (CHINESE, "题目：" + CHINESE[5:30] + "，再问", None),
        ("where is the nearest bank that is open", "Tell me: where is the nearest bank that is open now?",
         "where is the nearest bank that is open"),
        ("where is the nearest bank", "tell me where is the nearest bank", None),
        ("请问信用卡丢了以后该怎么办挂失", "你好，请问信用卡丢了以后，该怎么办挂失？", None),
        ("请问信用卡丢了以后该怎么办理挂失", "你好，请问信用卡丢了以后，该怎么办理挂失？",
         "请问信用卡丢了以后该怎么办理挂失"),
        ("信用卡丢了", "信用卡丢了", None),
        (LONG, "", None),
        ("", LONG, None),
    ],
)  # fmt: skip
def test_matches(protected: str, text: str, expected: str | None) -> None:
    found = NGramIndex(["another protected text that has nothing to do with it at all", protected]).matches(text)
    assert (None if found is None else found[1]) == expected
    assert found is None or found[0] == 1


def test_longest_of_several_protected_texts_at_one_place() -> None:
    short = "janet sells sixteen fresh eggs at the market"
    assert NGramIndex([short, LONG]).matches(LONG) == (1, " ".join(LONG.split()[:13]))


def test_lengths_can_be_chosen() -> None:
    index = NGramIndex([LONG, CHINESE], words=4, characters=6)
    assert index.matches("he buys sixteen fresh eggs at noon") == (0, "sixteen fresh eggs at")
    assert index.matches("她走到学校需要一小时") == (1, "走到学校需要")
    assert index.matches("sixteen fresh eggs and milk") is None


def test_a_template_is_no_overlap_and_is_told() -> None:
    template = "please answer the question below with one letter and nothing else at all"
    texts = [f"{template} number{i} asks something that no other text asks about {i}" for i in range(40)]
    index = NGramIndex(texts)
    assert index.residue == [template]
    assert index.matches(template + " what is the capital of France") is None
    assert index.matches(texts[7]) is not None
    assert index.matches(texts[7])[0] == 7  # type: ignore[index]
    assert RESIDUE * len(texts) < 10, "fewer than 10 texts are never a template"


def test_goes_to_another_process() -> None:
    index = pickle.loads(pickle.dumps(NGramIndex([LONG])))
    assert index.matches(LONG) == (0, " ".join(LONG.split()[:13]))


def test_a_question_inside_text_of_another_script_is_found() -> None:
    chinese = "请问如果我昨天在网上买的商品今天还没有发货那么我应该怎样申请退款并且多久能够到账"
    english = "how long does it take until the money for a returned parcel is back on my account"
    index = NGramIndex([chinese, english])
    around = "a customer of our shop wrote the following message and nobody knew what to say to her about it"
    found = index.matches(f"{around}: {chinese}! {around}")
    assert found is not None and found[0] == 0
    found = index.matches(f"{chinese[::-1] * 5}，{english}。{chinese[::-1] * 5}")
    assert found is not None and found[0] == 1
    assert index.matches(f"{around} {chinese[::-1]}") is None
