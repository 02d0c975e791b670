"""Examples that repeat each other: exact duplicates, near-duplicates, and questions with more than one answer."""

from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np

from jobs.data.examples import question_text
from jobs.data.likeness import Likeness
from jobs.data.near import conflict_groups, verify
from jobs.data.table import SIDES, Action, Array, Table

_ANSWERS = 20
"""Different answers to one question that are compared with each other."""


def exact(table: Table, action: Action) -> None:
    """The same task and messages as an earlier record of the same side."""
    for side in SIDES:
        rows = table.kept(side)
        _, first, inverse = np.unique(table["id"][rows], return_index=True, return_inverse=True)
        before = rows[first[inverse]]
        again = before != rows
        table.apply(action, rows[again], "duplicate", before[again])


def near(table: Table, likeness: Likeness, action: Action, threshold: float) -> None:
    """Nearly the question of an earlier record of the same side and task, and the same answer.

    With another answer both are marked as boundary examples: where the border between two answers runs is worth more
    than another example of what is clear. What models are judged on keeps the frequencies that it has: held-out
    examples are only marked.
    """
    pairs = _comparable(table, likeness)
    if not len(pairs):
        return
    left, right = pairs.T
    same = table["answer"][left] == table["answer"][right]
    free = ~same & (table["label"][left] < 0) & (table["label"][right] < 0)
    same[free] = _alike_answers(table, pairs[free], threshold)
    table.boundary[left[~same]] = True
    table.boundary[right[~same]] = True
    repeats, earlier = _repeats(pairs[same])
    judged = table["side"][repeats] == SIDES.index("held_out")
    table.apply(action, repeats[~judged], "near_duplicate", earlier[~judged])
    table.apply("off" if action == "off" else "flag", repeats[judged], "near_duplicate", earlier[judged])


def _comparable(table: Table, likeness: Likeness) -> Array:
    """int64[m, 2]: kept rows of one side and task that ask nearly the same, the smaller first, ordered by the larger.

    Of rows with the same shingles and the same answer the first stands for all, and the others are paired with it
    alone: a question that was copied a thousand times gives a thousand pairs and not a million.
    """
    groups: dict[tuple[int, int, int], dict[int, list[int]]] = {}
    kept = table.kept()
    busy = _busy(likeness, kept)
    for row in kept[busy].tolist():
        key = (int(likeness.leader[row]), int(table["side"][row]), int(table["task"][row]))
        groups.setdefault(key, {}).setdefault(int(table["answer"][row]), []).append(row)
    found: list[tuple[int, int]] = []
    for (leader, side, task), answers in groups.items():
        firsts = [rows[0] for rows in answers.values()]
        found += [(rows[0], row) for rows in answers.values() for row in rows[1:]]
        found += combinations(firsts[:_ANSWERS], 2)
        for other in likeness.alike.get(leader, ()):
            if other > leader:  # each pair once
                others = groups.get((other, side, task), {})
                found += product(firsts[:_ANSWERS], [rows[0] for rows in others.values()][:_ANSWERS])
    pairs = np.sort(np.array(found, np.int64).reshape(-1, 2), axis=1)
    return pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]


def _busy(likeness: Likeness, rows: Array) -> Array:
    """bool: rows that are like any other."""
    alike = np.isin(likeness.leader[rows], likeness.pairs)
    leaders, numbers = np.unique(likeness.leader[: likeness.rows], return_counts=True)
    return alike | np.isin(likeness.leader[rows], leaders[numbers > 1])


def _alike_answers(table: Table, pairs: Array, threshold: float) -> Array:
    """bool: free answers that are near-duplicates themselves."""

    def texts(rows: Array) -> list[str]:
        return [example.answer for example, _ in table.examples(rows)]

    verified = {(a, b) for a, b in verify(pairs, texts, threshold).tolist()}
    return np.array([(a, b) in verified for a, b in pairs.tolist()], bool)


def _repeats(pairs: Array) -> tuple[Array, Array]:
    """Rows that repeat an earlier one that stays, and that one; pairs are ordered by the later row."""
    gone: dict[int, int] = {}
    for earlier, row in pairs.tolist():
        if row not in gone and earlier not in gone:
            gone[row] = earlier
    return np.array(list(gone), np.int64), np.array(list(gone.values()), np.int64)


@dataclass(frozen=True)
class Conflict:
    """A question of one task with different answers."""

    task: str
    question: str
    """What is asked in the first of them, without the prompt's own text."""
    answers: list[tuple[str, int]]
    """Answer and line of each example, of a large group the first ones."""


@dataclass(frozen=True)
class Conflicts:
    """All of them."""

    groups: list[Array]
    """Rows of each."""

    def shown(self, table: Table, number: int) -> list[Conflict]:
        """The first ones as text."""
        return [_as_text(table, rows) for rows in self.groups[:number]]


def conflicts(table: Table, policy: Literal["keep", "drop", "majority"]) -> Conflicts:
    """Same task and question, more than one answer, among the training examples that are kept.

    `majority` keeps the answer of more than half of a group; without one, all of the group are dropped.
    """
    rows = table.kept("train")
    groups = conflict_groups(table["task"][rows], table["question"][rows], table["answer"][rows])
    found = [rows[group] for group in groups]
    for group in found:
        table.flag(group, "conflict", np.where(group == group[0], group[1], group[0]))
        if policy != "keep":
            wrong = group if policy == "drop" else _minority(table["answer"][group], group)
            wrong = wrong[table["decided"][wrong] == 0]
            table.drop(wrong, "conflict", np.full(len(wrong), group[0]))
    return Conflicts(found)


def _minority(answers: Array, group: Array) -> Array:
    """Rows of a group that do not have the answer of more than half."""
    values, numbers = np.unique(answers, return_counts=True)
    if 2 * numbers.max() <= len(group):
        return group
    return group[answers != values[numbers.argmax()]]


def _as_text(table: Table, rows: Array) -> Conflict:
    examples = [example for example, _ in table.examples(rows[:_ANSWERS])]
    answers = [(example.answer, example.source.line) for example in examples]
    return Conflict(examples[0].task, question_text(examples[0]), answers)


def sizes(likeness: Likeness, rows: Array) -> list[int]:
    """Sizes of the clusters of more than one row, among `rows`, largest first."""
    _, numbers = np.unique(likeness.cluster[rows], return_counts=True)
    return sorted((int(number) for number in numbers if number > 1), reverse=True)
