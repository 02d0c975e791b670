"""The training examples most like a question that the model got wrong: what it was taught there.

Likeness is the cosine of TF-IDF vectors over the characters of the part of the question that varies (Salton and Buckley
1988, "Term-weighting approaches in automatic text retrieval"): runs of 2 to 4 characters, which needs no word list and
works for Chinese. Features are hashed and training examples read in chunks, so memory does not grow with their number.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer

from jobs.eval.examples import lines
from jobs.eval.varying import Varying, last_question

NEAREST = 3
"""Training examples per question."""
MAX_QUESTIONS = 2_000
"""Of more bad cases, the first so many are looked up."""
CLOSE = 0.45
"""From this likeness on, two questions ask much the same, and another answer is a contradiction. Measured on labelled
questions: docs/bad-cases.md."""
MAX_CHARACTERS = 1_000
"""Of a question, at its start, are compared."""
FEATURES = 2**22
"""More of them, fewer that two runs share by chance."""
CHUNK = 1_000
WEIGHED = 20_000
"""Training examples, evenly spread, by which the weight of a feature is estimated; fewer are counted in full."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training example near a question."""

    similarity: float
    """Cosine, 0 to 1."""
    line: int
    """In train.jsonl, from 1."""
    id: str
    question: str
    """The part that varies."""
    answer: str


@dataclass(frozen=True, slots=True)
class _Training:
    """One training example as it is compared."""

    line: int
    id: str
    task: str
    question: str
    answer: str


def add_nearest(
    cases: Sequence[dict[str, Any]], train: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Gives each case `nearest` (at most NEAREST, the likest first) and `nearest_contradicts`, in place.

    `nearest` is None for cases after the first MAX_QUESTIONS. `nearest_contradicts` says whether every training example
    that asks much the same (CLOSE) has another answer than the one expected here: one of the labels may be wrong. None
    if no training example is that close, or if the answers are not labels, which may differ and both be right.
    `progress` is told (examples read, all). Raises DataError if a line of `train` is no example.
    """
    for case in cases:
        case.update(nearest=None, nearest_contradicts=None)
    looked_up = cases[:MAX_QUESTIONS]
    if not looked_up:
        return
    for case, found in zip(looked_up, nearest(looked_up, train, progress), strict=True):
        case["nearest"] = [
            {"id": one.id, "question": one.question, "answer": one.answer, "similarity": round(one.similarity, 3)}
            for one in found
        ]
        case["nearest_contradicts"] = contradicts(case, found)


def contradicts(case: dict[str, Any], found: Sequence[Neighbour]) -> bool | None:
    """See `add_nearest`."""
    close = [one for one in found if one.similarity >= CLOSE]
    if case.get("label") is None or not close:
        return None
    return all(one.answer.strip() != case["expected"].strip() for one in close)


def nearest(
    cases: Sequence[dict[str, Any]], train: Path, progress: Callable[[int, int], None] | None = None
) -> list[list[Neighbour]]:
    """For each case the NEAREST training examples with any likeness, the likest first."""
    varying = Varying()
    for case in cases:
        varying.see(case["task"], last_question(case))
    total = 0
    for example in _read(train):
        varying.see(example.task, example.question)
        total += 1
    questions = [varying.part(case["task"], last_question(case)) for case in cases]
    vectors = _Vectors.weighed(train, total, varying)
    asked = vectors(questions)
    best: list[list[Neighbour]] = [[] for _ in cases]
    for done, chunk in enumerate(_chunks(_read(train), CHUNK), start=1):
        texts = [varying.part(one.task, one.question) for one in chunk]
        likeness = (asked @ vectors(texts).T).toarray()  # [cases, chunk]
        _keep_best(best, likeness, chunk, texts)
        if progress is not None:
            progress(min(done * CHUNK, total), total)
    return best


def _keep_best(
    best: list[list[Neighbour]], likeness: np.ndarray, chunk: Sequence[_Training], texts: Sequence[str]
) -> None:
    """Merges the best of a chunk. Of equally like ones the earlier line wins."""
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :NEAREST]
    for row, found in enumerate(best):
        for place in order[row]:
            value = float(likeness[row, place])
            if value <= 0 or (len(found) == NEAREST and value <= found[-1].similarity):
                break
            one = chunk[place]
            found.append(Neighbour(min(value, 1.0), one.line, one.id, texts[place], one.answer))
            found.sort(key=lambda one: -one.similarity)
            del found[NEAREST:]


class _Vectors:
    """Texts to rows of unit length."""

    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights
        self._count = _counter()

    @classmethod
    def weighed(cls, train: Path, total: int, varying: Varying) -> "_Vectors":
        """Weights ln((1 + n) / (1 + df)) + 1 from the training examples (the smooth form of scikit-learn)."""
        every = max(1, total // WEIGHED)
        counted = 0
        frequency, count = np.zeros(FEATURES), _counter()
        chosen = (one for one in _read(train) if one.line % every == 0)
        for chunk in _chunks(chosen, CHUNK):
            found = count([varying.part(one.task, one.question)[:MAX_CHARACTERS] for one in chunk])
            frequency += np.bincount(found.indices, minlength=FEATURES)
            counted += len(chunk)
        return cls((np.log((1 + counted) / (1 + frequency)) + 1).astype(np.float32))

    def __call__(self, texts: Sequence[str]) -> csr_matrix:
        """[texts, FEATURES]; the row of an empty text is zero."""
        found = self._count([text[:MAX_CHARACTERS] for text in texts])
        found.data *= self._weights[found.indices]
        rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
        length = np.sqrt(np.bincount(rows, weights=found.data**2, minlength=found.shape[0]))
        found.data /= length[rows].astype(np.float32)
        return found


def _counter() -> Callable[[Sequence[str]], csr_matrix]:
    """Counts of the runs of characters of each text, [texts, FEATURES]."""
    hashing = HashingVectorizer(
        analyzer="char", ngram_range=(2, 4), n_features=FEATURES, alternate_sign=False, norm=None, dtype=np.float32
    )
    return hashing.transform  # type: ignore[no-any-return]


def _chunks(examples: Iterator[_Training], size: int) -> Iterator[list[_Training]]:
    while chunk := list(islice(examples, size)):
        yield chunk


def _read(path: Path) -> Iterator[_Training]:
    for number, fields in lines(path):
        answer = fields["messages"][-1]["content"]
        yield _Training(number, fields["id"], fields["task"], last_question(fields), answer)
