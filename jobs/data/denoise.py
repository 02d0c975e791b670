"""Answers that do not fit their question, by co-occurrence over all training examples (docs/rules/label-noise.md)."""

from collections.abc import Iterator

from jobs.data.cooccurrence import answer_association, label_margins
from jobs.data.examples import question_text
from jobs.data.table import Action, Array, Table
from sftjobs.spec.data import DenoiseSpec

MOST = 100_000
"""Training examples that are looked at, the first ones; more would not change what words mean."""


def denoise(table: Table, spec: DenoiseSpec, general: str) -> None:
    """Mark or drop the training examples of each task whose label or answer fits worst; scores go to the ledger."""
    for task in table.tasks:
        rows = table.kept("train", task)[:MOST]
        if task == general or not len(rows):
            continue
        labelled = table["label"][rows] >= 0
        if spec.labels != "off" and labelled.all():
            _labels(table, rows, spec)
        if spec.answers != "off" and not labelled.any():
            _answers(table, rows, spec)


def _labels(table: Table, rows: Array, spec: DenoiseSpec) -> None:
    found = label_margins(lambda: _questions(table, rows), table["label"][rows], len(table.labels))
    table.score("label_margin")[rows] = found.margin
    flagged = found.lowest(spec.share)
    _apply(table, spec.labels, rows[flagged], "label_noise")
    for i in flagged.tolist():
        better = table.labels[int(found.suggestion[i])]
        table.note(int(rows[i]), "label_noise", f"margin {found.margin[i]:.3f}: the words speak for {better!r}")
        table.suggestions[int(rows[i])] = better


def _answers(table: Table, rows: Array, spec: DenoiseSpec) -> None:
    found = answer_association(lambda: _pairs(table, rows))
    table.score("answer_association")[rows] = found.score
    flagged = found.lowest(spec.share)
    _apply(table, spec.answers, rows[flagged], "mismatch")
    for i in flagged.tolist():
        table.note(int(rows[i]), "mismatch", f"association {found.score[i]:.3f} of question and answer")


def _apply(table: Table, action: Action, rows: Array, rule: str) -> None:
    decided = table["decided"][rows] == 1  # a person's word counts more than a rule's
    table.apply(action, rows[~decided] if action == "drop" else rows, rule)


def _questions(table: Table, rows: Array) -> Iterator[str]:
    return (question_text(example) for example, _ in table.examples(rows))


def _pairs(table: Table, rows: Array) -> Iterator[tuple[str, str]]:
    return ((question_text(example), example.answer) for example, _ in table.examples(rows))
