"""Phrases that many different answers have in common."""

import random
from collections.abc import Iterator

import pytest

from jobs.data.clean.phrases import PhraseSettings, RepeatedPhraseRule, repeated_phrases
from jobs.data.clean.text import View

WORDS = [f"word{i}" for i in range(400)]
CHARACTERS = [chr(0x4E00 + i) for i in range(2000)]


def pairs(
    share: float, tail: str, chinese: bool, answers: int = 1000, questions: int = 10**6
) -> Iterator[tuple[str, str]]:
    rng = random.Random(5)
    for i in range(answers):
        text = "".join(rng.choices(CHARACTERS, k=30)) if chinese else " ".join(rng.choices(WORDS, k=12))
        joint = "。" if chinese else ". "
        yield f"question {i % questions}", text + (joint + tail if rng.random() < share else "")


@pytest.mark.parametrize(
    ("tail", "chinese"), [("Hope this helps you a lot today", False), ("如果还有其他问题请随时联系我们", True)]
)
def test_a_tail_of_many_answers_is_found_whole(tail: str, chinese: bool) -> None:
    phrases, total = repeated_phrases(lambda: pairs(0.1, tail, chinese))
    assert total == 1000
    assert [phrase.text for phrase in phrases] == [tail.lower()]
    assert phrases[0].answers == sum(answer.endswith(tail) for _, answer in pairs(0.1, tail, chinese))


def test_nothing_in_answers_of_their_own() -> None:
    assert repeated_phrases(lambda: pairs(0.0, "", False))[0] == []


def test_a_rare_phrase_is_none() -> None:
    assert repeated_phrases(lambda: pairs(0.01, "Hope this helps you a lot", False))[0] == []


def test_answers_to_the_same_few_questions_are_not_different() -> None:
    assert repeated_phrases(lambda: pairs(0.5, "Hope this helps you a lot", False, questions=3))[0] == []


def test_one_answer_given_often_is_no_phrase() -> None:
    same = [(f"question {i}", "Please contact the support team by phone or mail.") for i in range(500)]
    assert repeated_phrases(lambda: same)[0] == []


def test_the_same_on_every_run() -> None:
    settings = PhraseSettings(min_share=0.05)
    tail = "Hope this helps you a lot"
    assert repeated_phrases(lambda: pairs(0.3, tail, False), settings) == repeated_phrases(
        lambda: pairs(0.3, tail, False), settings
    )


def test_the_rule_names_the_phrase() -> None:
    phrases, total = repeated_phrases(lambda: pairs(0.1, "Hope this helps you a lot", False))
    rule = RepeatedPhraseRule(phrases, total)
    seen = View(("q",), ["Restart it. Hope this helps, you: a lot!"], [], "t", "free")
    assert rule.check(seen) == f"'hope this helps you a lot' stands in {phrases[0].answers} of 1,000 answers"
    assert rule.check(View(("q",), ["Restart it."], [], "t", "free")) is None
    assert RepeatedPhraseRule().check(seen) is None
