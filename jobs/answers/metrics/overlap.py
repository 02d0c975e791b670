"""How much of the text of two answers is the same, for answers that are not right or wrong."""

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from jobs.answers.metrics.base import Answered

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import CHRF

# Scripts that are written without blanks between words; a character stands for a word.
_CHARACTERS = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"[{_CHARACTERS}]|[^\W_{_CHARACTERS}]+")


def tokens(text: str) -> list[str]:
    """Words, lower case, without punctuation; every Chinese or Japanese character is a word.

    Of ASCII text the same as the tokenizer of rouge-score, which drops every other letter.
    """
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


def rouge_l(one: Answered) -> float:
    """F-measure of the longest common subsequence of tokens (Lin 2004, ROUGE, section 3.1), 0 to 1."""
    expected, said = _text(one.expected_text), said_text(one)
    if not tokens(expected) and not tokens(said):
        return float(expected == said)  # nothing but punctuation
    return float(_rouge().score(expected, said)["rougeL"].fmeasure)


def chrf(one: Answered) -> float:
    """F-score of character n-grams up to 6, recall weighted twice (Popovic 2015, chrF2, as in sacrebleu), 0 to 1."""
    return float(_chrf().sentence_score(said_text(one), [_text(one.expected_text)]).score) / 100


def said_text(one: Answered) -> str:
    """The answer as text: what was read of it, without a model's thoughts before it, else all that it said."""
    return one.found.value if isinstance(one.found.value, str) else _text(one.text)


def _text(text: str) -> str:
    return text.strip()


class _Tokenizer:
    """What rouge-score calls."""

    def tokenize(self, text: str) -> list[str]:
        return tokens(text)


@cache
def _rouge() -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Tokenizer())


@cache
def _chrf() -> "CHRF":
    from sacrebleu.metrics import CHRF

    return CHRF()
