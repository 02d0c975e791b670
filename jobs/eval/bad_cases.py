"""The examples that the tuned model gets wrong: the next round's data, and something to read in the report.

A metric that says right or wrong says which they are. For one that gives a number a case is bad if the score is below
HALF, or more than WORSE below that of the base; a loss L in nats counts as the score exp(-L), the probability that the
model gives a token of the expected answer (its geometric mean).
"""

import math
from collections.abc import Sequence
from typing import Any

from jobs.answers.predict import Prediction

HALF = 0.5
WORSE = 0.1


def bad_cases(
    tuned: Sequence[Prediction],
    base: Sequence[Prediction],
    metric: str,
    *,
    lower_is_better: bool = False,
    seeds: Sequence[Sequence[Prediction]] = (),
) -> list[dict[str, Any]]:
    """Full examples with prediction and parse; `messages` holds the expected answer, as in a training example.

    In the order of the held-out set for right and wrong; for numbers the worst first, and at the end those that could
    not be scored (`score` None). `base_correct` of numbers: the base's score is not below HALF. `seeds` are predictions
    of the models of further seeds: `seeds_wrong` says in how many of all the case is bad.
    """
    found = []
    for place, (mine, other) in enumerate(zip(tuned, base, strict=True)):
        score, base_score = (goodness(one["scores"][metric], lower_is_better) for one in (mine, other))
        if not is_bad(score, base_score):
            continue
        dropped = {"scores", "correct"}
        case = {
            **{name: value for name, value in mine.items() if name not in dropped},
            "metric": metric,
            "score": mine["scores"][metric],
            "base_prediction": other["prediction"],
            "base_score": other["scores"][metric],
            "base_correct": base_score is not None and base_score >= HALF,
        }
        if seeds:
            again = [is_bad(goodness(lines[place]["scores"][metric], lower_is_better), base_score) for lines in seeds]
            case["seeds_wrong"] = 1 + sum(again)
            case["seeds"] = 1 + len(again)
        found.append((score, case))
    if any(is_number(case["score"]) for _, case in found):
        found.sort(key=lambda one: math.inf if one[0] is None else one[0])
    return [case for _, case in found]


def goodness(score: bool | float | None, lower_is_better: bool = False) -> float | None:
    """A score of a metric as a number that is 1 at best: see the module."""
    if score is None:
        return None
    return math.exp(-score) if lower_is_better else float(score)


def is_bad(score: float | None, base_score: float | None) -> bool:
    """Of two values of `goodness`. What could not be scored is to be looked at."""
    if score is None or score < HALF:
        return True
    return base_score is not None and score < base_score - WORSE


def is_number(score: bool | float | None) -> bool:
    """Whether a score is of a metric that gives a number: 1.0 is read back as 1, and True is one in Python."""
    return isinstance(score, int | float) and not isinstance(score, bool)
