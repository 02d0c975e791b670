"""Answers that do not go with their question: association of the terms of both, against the same answer under other
questions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.sparse import csr_array

from jobs.data.cooccurrence.terms import Array, term_matrix

LEAST = 3
_FREQUENT = 0.2
"""Terms in more than this share of the texts say nothing about one of them."""
_SHIFTS = (1, 2, 3)


@dataclass(frozen=True)
class AnswerAssociation:
    """How well each answer goes with its question."""

    score: Array
    """float64[n]: mean over the answer's terms of the largest NPMI with a term of its question, less the mean of the
    same with the questions of three other examples. NaN if there is no term to judge by."""

    def lowest(self, share: float) -> Array:
        """Positions with a score of at most 0, at most `share` of all, the lowest first."""
        order = np.argsort(np.where(np.isnan(self.score), np.inf, self.score), kind="stable")
        order = order[: ceil(share * len(order))]
        return order[self.score[order] <= 0]


def answer_association(pairs: Callable[[], Iterable[tuple[str, str]]]) -> AnswerAssociation:
    """Scores of (question, answer) pairs, which are gone through twice."""
    questions = term_matrix((question for question, _ in pairs()), LEAST, _FREQUENT)
    answers = term_matrix((answer for _, answer in pairs()), LEAST, _FREQUENT)
    n = questions.shape[0]
    association = _npmi(questions, answers)
    own = _scores(questions, answers, association, np.arange(n))
    others = [_scores(questions, answers, association, (np.arange(n) + shift) % n) for shift in _SHIFTS if shift < n]
    return AnswerAssociation(own - np.mean(others, axis=0) if others else np.full(n, np.nan))


def _npmi(questions: csr_array, answers: csr_array) -> csr_array:
    """NPMI of each term of a question with each of an answer, where they occur together; positive values only."""
    n = questions.shape[0]
    joint = (questions.T @ answers).tocoo()
    p = joint.data / n
    left = np.asarray(questions.sum(axis=0)).reshape(-1)[joint.row] / n
    right = np.asarray(answers.sum(axis=0)).reshape(-1)[joint.col] / n
    # one pair of texts that share two terms is no evidence: its own share is taken out
    p_other = np.maximum(joint.data - 1, 0) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(p_other > 0, np.log(p_other / (left * right)) / -np.log(np.minimum(p, 1 - 1e-9)), 0.0)
    return csr_array((np.maximum(values, 0.0), (joint.row, joint.col)), shape=joint.shape)


def _scores(questions: csr_array, answers: csr_array, association: csr_array, order: Array) -> Array:
    """Score of each answer under the question at `order`."""
    found = np.full(len(order), np.nan)
    for i, other in enumerate(order.tolist()):
        asked = questions.indices[questions.indptr[other] : questions.indptr[other + 1]]
        said = answers.indices[answers.indptr[i] : answers.indptr[i + 1]]
        if len(asked) and len(said):
            found[i] = float(association[asked][:, said].max(axis=0).toarray().mean())
    return found
