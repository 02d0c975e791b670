"""Short texts to labels by TF-IDF and logistic regression, the same for every language.

Features are runs of 1 to 4 characters within words and, beside them, words and pairs of words, where each Chinese,
Japanese or Korean character is a word: no word list is needed. Weights are 1 + ln(count) times the inverse document
frequency (Salton and Buckley 1988), each of both halves of length 1. docs/baselines.md compares other choices.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from threadpoolctl import threadpool_limits

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse strengths of regularisation (C of scikit-learn) to choose from."""
DEFAULT_STRENGTH = 10.0
"""Where cross-validation is impossible; the best of the three on the training examples of both examples/."""
FOLDS = 5
MAX_CHOOSING = 2_000
"""Examples that the strength is chosen on."""
MAX_WEIGHTS = 4_000_000
"""Features times labels; the optimiser holds about 30 numbers of 8 bytes for each: 1 GiB."""
ITERATIONS = 300

_WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"


def choose_strength(texts: Sequence[str], labels: Sequence[str], seed: int) -> float | None:
    """The strength with the most right answers in a stratified cross-validation; of equal ones the smallest.

    None if no label has two examples, there is one label only, or most texts are empty: then it cannot be told.
    """
    counts = Counter(labels)
    folds = min(FOLDS, max(counts.values()), len(labels))
    if folds < 2 or len(counts) < 2:
        return None
    if min(counts.values()) >= 2:
        folds = max(2, min(folds, min(counts.values())))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    models = {strength: _model(texts, len(counts), strength) for strength in STRENGTHS}
    found: dict[float, float] = {}
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for strength, model in models.items():
            if model is None:
                return None
            found[strength] = float(np.mean(cross_val_score(model, list(texts), list(labels), cv=split)))
    return max(STRENGTHS, key=lambda strength: (found[strength], -strength))


def answers(texts: Sequence[str], labels: Sequence[str], strength: float, asked: Sequence[str]) -> list[str]:
    """A label for each text of `asked`. The same bytes for the same input: no random numbers, one thread."""
    counts = Counter(labels)
    model = _model(texts, len(counts), strength) if len(counts) > 1 else None
    if model is None:
        return [counts.most_common(1)[0][0]] * len(asked)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # rare; a little less than the optimum does no harm
        model.fit(list(texts), list(labels))
    return [str(label) for label in model.predict(list(asked))]


def _model(texts: Sequence[str], labels: int, strength: float) -> Pipeline | None:
    """None if there is nothing in the texts to learn from."""
    if sum(not text.isspace() and text != "" for text in texts) * 2 < len(texts):
        return None
    most = MAX_WEIGHTS // (2 * labels)  # of more features the most frequent are kept
    halves = [TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, max_features=most)]
    if sum(re.search(_WORD, text) is not None for text in texts) * 2 >= len(texts):
        halves.append(TfidfVectorizer(token_pattern=_WORD, ngram_range=(1, 2), sublinear_tf=True, max_features=most))
    return make_pipeline(make_union(*halves), LogisticRegression(C=strength, max_iter=ITERATIONS))
