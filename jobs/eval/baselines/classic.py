"""TF-IDF and logistic regression: does the task need a language model at all, and how much data would do?

Features are runs of 1 to 4 characters within words (Chinese has no blanks, so a run of text is a word) and, beside
them, words and pairs of words. What all questions of a task share is cut off first. The strength of regularisation is
chosen by cross-validation on training examples alone.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from jobs.answers.parse import Parser
from jobs.eval.baselines.answered import Answered, Task
from jobs.eval.statistics import wilson
from jobs.eval.varying import Varying, last_question
from sftjobs.canonical import digest
from sftjobs.spec.input_places import GENERAL

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Parts of the training examples that the curve is made of."""
STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse strength of regularisation (C) to choose from."""
FOLDS = 3
DEFAULT_STRENGTH = 10.0
"""Where a label has too few examples for cross-validation."""
CONFIDENCE = 0.95


def classic(task: Task, parse: Parser) -> Answered:
    """The most likely label by a classic model; its learning curve is among the facts."""
    learnt = [one for one in task.train if one.task != GENERAL and parse(one.expected).how != "failed"]
    texts = _texts([*learnt, *task.held_out])
    asked = texts[len(learnt) :]
    labels = [str(parse(one.expected).value) for one in learnt]
    expected = [str(parse(one.expected).value) for one in task.held_out]
    notes = _notes(labels, expected)
    curve: list[dict[str, Any]] = []
    answers: list[str] = []
    for share in SHARES if len(set(labels)) > 1 else (1.0,):
        chosen = _part([one.id for one in learnt], labels, share, task.seed)
        answers = _predict([texts[i] for i in chosen], [labels[i] for i in chosen], asked, task.seed)
        right = sum(a == b for a, b in zip(answers, expected, strict=True))
        limits = wilson(right, len(expected), CONFIDENCE)
        curve.append(
            {
                "share": share,
                "examples": len(chosen),
                "accuracy": right / len(expected),
                "low": limits.low,
                "high": limits.high,
            }
        )
        task.progress("classic")(round(len(task.held_out) * len(curve) / len(SHARES)))
    return Answered(answers, about={"curve": curve, "features": "TF-IDF of characters 1-4 and words 1-2"}, notes=notes)


def _texts(examples: Sequence[Any]) -> list[str]:
    """What varies of each question."""
    varying = Varying()
    asked = [(one.task, last_question(one.fields)) for one in examples]
    for task, question in asked:
        varying.see(task, question)
    return [varying.part(task, question) for task, question in asked]


def _notes(labels: Sequence[str], expected: Sequence[str]) -> list[str]:
    unseen = Counter(label for label in expected if label not in set(labels))
    notes = []
    if len(set(labels)) == 1:
        notes.append(f"every training example has the label {labels[0]!r}: the classic model can say nothing else")
    if unseen:
        shown = ", ".join(sorted(unseen)[:5])
        notes.append(f"{unseen.total()} held-out examples have a label without training example ({shown})")
    return notes


def _part(ids: Sequence[str], labels: Sequence[str], share: float, seed: int) -> list[int]:
    """Places of `share` of the examples of each label, at least one, by a hash: a larger share holds a smaller one."""
    groups: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        groups.setdefault(label, []).append(place)
    chosen: list[int] = []
    for members in groups.values():
        members.sort(key=lambda place: digest(["classic", seed, ids[place]]))
        chosen += members[: max(1, round(share * len(members)))]
    return sorted(chosen)


def _predict(texts: Sequence[str], labels: Sequence[str], asked: Sequence[str], seed: int) -> list[str]:
    if len(set(labels)) == 1:
        return [labels[0]] * len(asked)
    model = _pipeline(seed)
    fewest = min(Counter(labels).values())
    known: NDArray[np.str_] = np.array(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rare, and a little less than the optimum does no harm
        if fewest >= FOLDS:
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
            strengths = {"logisticregression__C": list(STRENGTHS)}
            model = GridSearchCV(model, strengths, cv=folds, n_jobs=1)
        model.fit(list(texts), known)
    return [str(label) for label in model.predict(list(asked))]


def _pipeline(seed: int) -> Pipeline:
    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True),
        TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True),
    )
    return make_pipeline(features, LogisticRegression(C=DEFAULT_STRENGTH, max_iter=300, random_state=seed))
