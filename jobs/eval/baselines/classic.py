"""Baseline `classic`: does the task need a language model at all, and how much data would do without one?

The learning curve trains on parts of the training examples, drawn in each label. It is not extended beyond the data: a
curve of four points fits a power law with three parameters whatever is true, and would be believed. What is said is
what twice the examples have brought, with its interval.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from jobs.answers.parse import Parser
from jobs.eval.baselines.answered import Answered, Task
from jobs.eval.baselines.classifier import DEFAULT_STRENGTH, MAX_CHOOSING, answers, choose_strength
from jobs.eval.examples import Example
from jobs.eval.score import CONFIDENCE
from jobs.eval.statistics import binary_interval, wilson
from jobs.eval.varying import Varying, last_question
from sftjobs.canonical import digest
from sftjobs.errors import DataError
from sftjobs.program import Stopped
from sftjobs.spec.input_places import GENERAL

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Parts of the training examples that the curve is made of."""
DRAWS = 3
"""Draws of each part, whose mean is shown: with few examples it matters which ones."""
MAX_DRAWN = 2_000
"""With more training examples each part is drawn once."""
MAX_LEARNT = 50_000
"""Of more training examples so many are used."""
BOOTSTRAP = 10_000


def classic(task: Task, parse: Parser) -> Answered:
    """The most likely label of each held-out example by a classic model. Raises DataError without labelled examples."""
    learnt = [one for one in task.train if one.task != GENERAL and parse(one.expected).how != "failed"]
    if not learnt:
        raise DataError("eval.baselines: classic: no training example has a label; remove classic from the list")
    labels = [str(parse(one.expected).value) for one in learnt]
    expected = [str(parse(one.expected).value) for one in task.held_out]
    notes = _notes(labels, expected, len(task.labels))
    if len(learnt) > MAX_LEARNT:
        notes.append(f"classic learns from {MAX_LEARNT:,} of {len(learnt):,} training examples, drawn in each label")
        chosen = _part(learnt, labels, MAX_LEARNT / len(learnt), task.seed, 0)
        learnt, labels = [learnt[place] for place in chosen], [labels[place] for place in chosen]
    texts = questions([*learnt, *task.held_out])
    return _Curve(task, learnt, labels, texts, expected).answered(notes)


def questions(examples: Sequence[Example]) -> list[str]:
    """What varies of each question: without the start and end that all questions of its task share."""
    varying = Varying()
    asked = [(one.task, last_question(one.fields)) for one in examples]
    for name, question in asked:
        varying.see(name, question)
    return [varying.part(name, question) for name, question in asked]


class _Curve:
    """The classic model by the share of the examples it learns from."""

    def __init__(
        self,
        task: Task,
        learnt: Sequence[Example],
        labels: Sequence[str],
        texts: Sequence[str],
        expected: Sequence[str],
    ) -> None:
        self._task = task
        self._learnt = learnt
        self._labels = labels
        self._texts = texts[: len(learnt)]
        self._asked = texts[len(learnt) :]
        self._expected = expected

    def answered(self, notes: list[str]) -> Answered:
        """Answers of the model of all examples, with the curve."""
        strength = self._strength()
        if strength is None:
            notes.append(f"cross-validation could not choose the regularisation: C = {DEFAULT_STRENGTH:g} is used")
        said: dict[float, list[list[str]]] = {}
        points = []
        for done, share in enumerate(SHARES, start=1):
            draws = DRAWS if share < 1 and len(self._learnt) <= MAX_DRAWN else 1
            parts = [_part(self._learnt, self._labels, share, self._task.seed, draw) for draw in range(draws)]
            said[share] = [self._answers(part, strength or DEFAULT_STRENGTH) for part in parts]
            points.append(self._point(share, len(parts[0]), said[share]))
            self._task.progress("classic")(round(done / len(SHARES) * len(self._expected)))
        about = {
            "features": "TF-IDF of characters 1-4 and words 1-2",
            "strength": strength or DEFAULT_STRENGTH,
            "curve": points,
            "last_doubling": self._last_doubling(points, said),
        }
        return Answered(said[1.0][0], about=about, notes=notes)

    def _strength(self) -> float | None:
        chosen = _part(self._learnt, self._labels, min(1.0, MAX_CHOOSING / len(self._learnt)), self._task.seed, 0)
        texts, labels = [self._texts[place] for place in chosen], [self._labels[place] for place in chosen]
        return choose_strength(texts, labels, self._task.seed)

    def _answers(self, part: Sequence[int], strength: float) -> list[str]:
        if self._task.program.stop_requested:
            raise Stopped("the classic model was being trained")
        texts, labels = [self._texts[place] for place in part], [self._labels[place] for place in part]
        return answers(texts, labels, strength, self._asked)

    def _right(self, said: Sequence[str]) -> list[bool]:
        return [one == wanted for one, wanted in zip(said, self._expected, strict=True)]

    def _point(self, share: float, examples: int, draws: Sequence[Sequence[str]]) -> dict[str, Any]:
        """`low` and `high` cover the choice of held-out examples; `draws` shows the choice of training examples."""
        values = [sum(self._right(said)) / len(said) for said in draws]
        mean = sum(values) / len(values)
        limits = wilson(mean * len(self._expected), len(self._expected), CONFIDENCE)
        found = {"share": share, "examples": examples, "accuracy": mean, "low": limits.low, "high": limits.high}
        return {**found, "draws": values}

    def _last_doubling(self, points: Sequence[dict[str, Any]], said: dict[float, list[list[str]]]) -> dict[str, Any]:
        """What all examples gained over one draw of half of them, on the same held-out examples."""
        half, whole = self._right(said[0.5][0]), self._right(said[1.0][0])
        wins = sum(b and not a for a, b in zip(half, whole, strict=True))
        losses = sum(a and not b for a, b in zip(half, whole, strict=True))
        limits = binary_interval(wins, losses, len(whole), BOOTSTRAP, CONFIDENCE, self._task.seed)
        return {
            "examples": [points[-2]["examples"], points[-1]["examples"]],
            "difference": (wins - losses) / len(whole),
            "low": limits.low,
            "high": limits.high,
        }


def _notes(labels: Sequence[str], expected: Sequence[str], known: int) -> list[str]:
    seen = Counter(labels)
    notes = []
    if len(seen) == 1:
        notes.append(f"every training example has the label {labels[0]!r}: classic can say nothing else")
    if len(labels) < known:
        notes.append(f"there are fewer training examples ({len(labels)}) than labels ({known})")
    unseen = Counter(label for label in expected if label not in seen)
    if unseen:
        shown = ", ".join(sorted(unseen)[:5]) + (", ..." if len(unseen) > 5 else "")
        notes.append(
            f"{unseen.total()} of {len(expected)} held-out examples have a label without a training example ({shown}): "
            "classic cannot say it"
        )
    return notes


def _part(learnt: Sequence[Example], labels: Sequence[str], share: float, seed: int, draw: int) -> list[int]:
    """Places of `share` of the examples of each label, at least one, by a hash: a larger share holds a smaller one."""
    groups: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        groups.setdefault(label, []).append(place)
    chosen: list[int] = []
    for members in groups.values():
        members.sort(key=lambda place: digest(["classic", seed, draw, learnt[place].id]))
        chosen += members[: max(1, round(share * len(members)))]
    return sorted(chosen)
