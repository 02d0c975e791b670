"""Rule `repeated_phrase`: n-grams that stand in many different answers to different questions.

methods.md 4.8 (c): template residue is what co-occurs across many otherwise different records: document frequency
high, diversity of questions and answers high. Two passes over the answers, memory that does not grow with the data.
docs/rules/repeated-phrase.md
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from jobs.data.clean.script import HAN
from jobs.data.clean.text import View

Pairs = Callable[[], Iterable[tuple[str, str]]]
"""Gives (question, answer) of every example, the same at each call."""

_TOKEN = re.compile(rf"[{HAN}]|(?:(?![{HAN}])\w)+")
_HAN = re.compile(f"[{HAN}]")
_BATCH = 4096
_SLOTS = 2**20
"""Counters, by hash of the n-gram: 20 MiB in all. Two n-grams in one slot only cost work: pass 2 counts exactly."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # Knuth, TAOCP 3, 6.4: golden-ratio hashing
_BITS = 64


@dataclass(frozen=True, slots=True)
class PhraseSettings:
    """What makes a phrase residue."""

    words: int = 5
    """Length of an n-gram in words, or twice as many Chinese characters."""
    min_answers: int = 20
    """Fewest answers that have the phrase."""
    min_share: float = 0.02
    """Smallest share of all answers that have it."""
    min_diversity: float = 0.5
    """Fewest different questions, and different answers, per answer that has it. Counted with 64 bits each (linear
    counting, Whang and others 1990), so beyond some 100 only "many" is known."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that many answers have."""

    text: str
    """Its tokens, lower-cased, with a blank between words."""
    tokens: tuple[str, ...]
    answers: int
    """How many have it."""


class RepeatedPhraseRule:
    """Looks for known phrases in an answer."""

    name: ClassVar[str] = "repeated_phrase"

    def __init__(self, phrases: Iterable[Phrase] = (), total: int = 0) -> None:
        self._phrases = {phrase.tokens: phrase for phrase in phrases}
        self._lengths = sorted({len(tokens) for tokens in self._phrases})
        self._first = {tokens[0] for tokens in self._phrases}
        self._total = total

    def check(self, view: View) -> str | None:
        """The reason, or None. Free answers only."""
        if view.format != "free" or not self._phrases:
            return None
        found = self.find(view.answer)
        if found is None:
            return None
        of = f" of {self._total:,}" if self._total else ""
        return f"{found.text!r} stands in {found.answers:,}{of} answers"

    def find(self, answer: str) -> Phrase | None:
        """The first known phrase of an answer."""
        tokens = tokens_of(answer)
        for i, token in enumerate(tokens):
            if token in self._first:
                for length in self._lengths:
                    phrase = self._phrases.get(tuple(tokens[i : i + length]))
                    if phrase:
                        return phrase
        return None


def repeated_phrases(pairs: Pairs, settings: PhraseSettings = PhraseSettings()) -> tuple[list[Phrase], int]:
    """Phrases that co-occur across many different answers, most frequent first, and the number of answers."""
    counters = _Counters(settings)
    total = 0
    for batch in _batches(pairs()):
        total += len(batch)
        counters.add(batch)
    least = max(settings.min_answers, int(settings.min_share * total))
    frequent = counters.frequent(least)
    if not frequent.any():
        return [], total
    exact: Counter[tuple[str, ...]] = Counter()
    for batch in _batches(pairs()):
        _collect(batch, frequent, settings, exact)
    found = [(tokens, count) for tokens, count in exact.items() if count >= least]
    return _merged(found), total


def tokens_of(text: str) -> list[str]:
    """Lower-cased words; a Chinese character is one."""
    return _TOKEN.findall(text.lower())


class _Counters:
    """Per slot: how many answers have an n-gram of this hash, and 64 bits each for how different they are."""

    def __init__(self, settings: PhraseSettings) -> None:
        self._settings = settings
        self._answers = np.zeros(_SLOTS, np.uint32)
        self._questions_seen = np.zeros(_SLOTS, np.uint64)
        self._answers_seen = np.zeros(_SLOTS, np.uint64)

    def add(self, batch: list[tuple[str, str]]) -> None:
        for question, answer in batch:
            slots = np.unique(_slots(_grams(answer, self._settings)))
            if len(slots):
                self._answers[slots] += 1
                self._questions_seen[slots] |= _bit(question)
                self._answers_seen[slots] |= _bit(answer)

    def frequent(self, least: int) -> NDArray[np.bool_]:
        """Which slots may hold a phrase."""
        wanted = self._answers * self._settings.min_diversity
        different = np.minimum(_distinct(self._questions_seen), _distinct(self._answers_seen))
        # Of 64 bits no more can be told than some 100 different ones.
        diverse = different >= np.minimum(wanted, 100.0)
        return np.asarray((self._answers >= least) & diverse)


def _bit(text: str) -> np.uint64:
    return np.uint64(1 << (zlib.crc32(text.encode("utf-8", "surrogatepass")) % _BITS))


def _distinct(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Linear counting: -m ln(1 - set / m); a full slot counts as one bit short of full."""
    ones = np.minimum(np.bitwise_count(bits), _BITS - 1).astype(np.float64)
    return np.asarray(-_BITS * np.log1p(-ones / _BITS))


def _grams(answer: str, settings: PhraseSettings) -> list[tuple[str, ...]]:
    tokens = tokens_of(answer)
    n = settings.words * (2 if _mostly_han(tokens) else 1)
    return list(zip(*(islice(tokens, i, None) for i in range(n)), strict=False))


def _mostly_han(tokens: list[str]) -> bool:
    return 2 * sum(len(token) == 1 and _HAN.match(token) is not None for token in tokens) > len(tokens)


def _slots(grams: list[tuple[str, ...]]) -> NDArray[Any]:
    """Slots of n-grams. The checksum does not depend on the process, as hash() of a text does."""
    sums = [zlib.crc32("\x1f".join(gram).encode("utf-8", "surrogatepass")) for gram in grams]
    return np.asarray((np.array(sums, np.uint64) * _MULTIPLIER) >> np.uint64(44)).astype(np.int64)


def _collect(
    batch: list[tuple[str, str]],
    frequent: NDArray[np.bool_],
    settings: PhraseSettings,
    exact: "Counter[tuple[str, ...]]",
) -> None:
    for _, answer in batch:
        grams = _grams(answer, settings)
        if grams:
            hits = frequent[_slots(grams)]
            exact.update({grams[i] for i in np.flatnonzero(hits)})


def _merged(found: list[tuple[tuple[str, ...], int]]) -> list[Phrase]:
    """N-grams that overlap by all but one token and are about as frequent become one phrase."""
    found = sorted(found, key=lambda one: (-one[1], one[0]))
    by_head: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {}
    for tokens, count in found:
        by_head.setdefault(tokens[:-1], (tokens, count))
    followers = {by_head[tokens[1:]][0] for tokens, _ in found if tokens[1:] in by_head}
    phrases: list[Phrase] = []
    used: set[tuple[str, ...]] = set()
    for tokens, count in sorted(found, key=lambda one: (one[0] in followers, -one[1], one[0])):
        if tokens in used:
            continue
        used.add(tokens)
        whole, least, last = list(tokens), count, tokens
        while (following := by_head.get(last[1:])) is not None:
            last, next_count = following
            if last in used or next_count < 0.8 * least:
                break
            used.add(last)
            whole.append(last[-1])
            least = min(least, next_count)
        phrases.append(Phrase(_joined(whole), tuple(whole), least))
    return sorted(phrases, key=lambda phrase: (-phrase.answers, phrase.text))


def _joined(tokens: list[str]) -> str:
    text = ""
    for token in tokens:
        text += token if not text or _HAN.match(token) or _HAN.match(text[-1]) else f" {token}"
    return text


def _batches(pairs: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    iterator = iter(pairs)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
