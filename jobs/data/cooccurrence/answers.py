"""Answers that do not go with their question: association of the terms of both, against the same answer under other
questions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from math import ceil

import numpy as np
from scipy.sparse import csr_array

from jobs.data.cooccurrence.terms import Array, term_matrix

LEAST = 3
"""Texts that a term stands in at least."""
_FREQUENT = 0.2
"""Terms in more than this share of the texts say nothing about one of them."""
_TERMS = 4096
"""Most terms of questions, and of answers; the most frequent ones. Bounds memory to 64 MiB a table of NPMI."""
_OTHERS = 4
"""Other questions that an answer is compared under."""


@dataclass(frozen=True)
class AnswerAssociation:
    """How well each answer goes with its question."""

    score: Array
    """float64[n]: mean over the answer's terms of the largest NPMI with a term of its question, less the mean of the
    same with the questions of four other examples. NaN if there is no term to judge by."""

    def lowest(self, share: float) -> Array:
        """Positions with a score of at most 0, at most `share` of all, the lowest first."""
        order = np.argsort(np.where(np.isnan(self.score), np.inf, self.score), kind="stable")
        order = order[: ceil(share * len(order))]
        return order[self.score[order] <= 0]


def answer_association(pairs: Callable[[], Iterable[tuple[str, str]]]) -> AnswerAssociation:
    """Scores of (question, answer) pairs, which are gone through twice.

    Under its own question an answer is judged by the other pairs: the counts are less by the one of this pair. The
    other questions are those a fifth of all pairs further on, and so forth, so that an order by topic does no harm.
    """
    questions = term_matrix((question for question, _ in pairs()), LEAST, _FREQUENT, _TERMS)
    answers = term_matrix((answer for _, answer in pairs()), LEAST, _FREQUENT, _TERMS)
    both = term_matrix(chain.from_iterable(pairs()), 2, _FREQUENT)
    n = questions.shape[0]
    at = np.arange(n)
    own = _scores(questions, answers, npmi_of_pairs(questions, answers, left_out=1), at) + overlap(both, at)
    association = npmi_of_pairs(questions, answers, left_out=0)
    shifts = sorted({n * i // (_OTHERS + 1) for i in range(1, _OTHERS + 1)} - {0})
    moved = [(at + shift) % n for shift in shifts]
    others = [_scores(questions, answers, association, order) + overlap(both, order) for order in moved]
    return AnswerAssociation(own - np.mean(others, axis=0) if others else np.full(n, np.nan))


def overlap(both: csr_array, order: Array) -> Array:
    """float64[n]: share of an answer's terms that stand in the question at `order` too, rare terms counting more.

    `both` has the terms of question 0, answer 0, question 1 and so on; the weight of a term in k of the N rows is
    log(N / k) (Sparck Jones 1972). 0 for an answer without terms.
    """
    weights = np.log(both.shape[0] / np.maximum(1, np.asarray(both.sum(axis=0)).reshape(-1)))
    asked, said = both[0::2][order], both[1::2]
    return (asked.multiply(said) @ weights) / np.maximum(1e-9, said @ weights)


def npmi_of_pairs(questions: csr_array, answers: csr_array, left_out: int) -> Array:
    """float32[question terms, answer terms]: NPMI where both occur in one pair, at least 0; 0 if they never do.

    log(p(a, b) / (p(a) p(b))) / -log p(a, b) with shares of pairs, after `left_out` pairs with both were taken out of
    the joint count and of each single one.
    """
    joint = (questions.T @ answers).tocoo()
    n = max(1, questions.shape[0] - left_out)
    count = joint.data - left_out
    left = (np.asarray(questions.sum(axis=0)).reshape(-1)[joint.row] - left_out) / n
    right = (np.asarray(answers.sum(axis=0)).reshape(-1)[joint.col] - left_out) / n
    there = count > 0
    p = count[there] / n
    bounded = np.minimum(p, 1 - 1e-9)  # of terms in every pair it is 0 / 0
    dense = np.zeros(joint.shape, np.float32)
    values = np.log(p / (left[there] * right[there])) / -np.log(bounded)
    dense[joint.row[there], joint.col[there]] = np.maximum(values, 0.0)
    return dense


def _scores(questions: csr_array, answers: csr_array, association: Array, order: Array) -> Array:
    """Score of each answer under the question at `order`."""
    found = np.full(len(order), np.nan)
    asked = np.split(questions.indices, questions.indptr[1:-1])
    said = np.split(answers.indices, answers.indptr[1:-1])
    for i, other in enumerate(order.tolist()):
        if len(asked[other]) and len(said[i]):
            found[i] = association[asked[other][:, None], said[i]].max(axis=0).mean()
    return found
