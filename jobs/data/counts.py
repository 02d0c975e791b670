"""What the data stage counts: for the manifest and for the tables of report and check."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from jobs.data.gather import sources
from jobs.data.ledger import BadRecord
from jobs.data.measure import common_prefix
from jobs.data.rules import CODES, RULES
from jobs.data.table import Array, Table
from jobs.lm.render import Renderer
from sftjobs.advice.shape import ModelShape
from sftjobs.plan.configs import DataConfig, DataCounts, TaskCounts


def count(table: Table, bad: list[BadRecord], config: DataConfig, renderer: Renderer, model: Path) -> DataCounts:
    """The manifest's counts."""
    train = table.kept("train")
    return DataCounts(
        records=len(table) + len(bad),
        tasks=task_counts(table, config),
        held_out=len(table.kept("held_out")),
        dev=len(table.kept("dev")),
        dropped=dropped(table) | ({"bad_record": len(bad)} if bad else {}),
        flagged=flagged(table),
        labels=label_counts(table, train, config),
        max_example_tokens=max(0, int(table.tokens[train].max())) if len(train) else 0,
        common_prefix_tokens=common_prefix(table, train, renderer),
        longest_answer_tokens=longest_answer(table, list(config.prompt.labels), renderer),
        output_format=config.prompt.output.format,
        bad_records=len(bad),
        model=model_sizes(model),
    )


def model_sizes(folder: Path) -> dict[str, Any] | None:
    """For estimates of memory while planning; None if config.json does not say them all."""
    try:
        return asdict(ModelShape.in_folder(folder))
    except (OSError, ValueError):
        return None


def task_counts(table: Table, config: DataConfig) -> dict[str, TaskCounts]:
    """Training examples of each task, and of general data."""
    found = {}
    for task, _, side in sources(config):
        if side == "train":
            rows = table.kept("train", task)
            tokens, supervised = (int(column[rows].clip(0).sum()) for column in (table.tokens, table.supervised))
            found[task] = TaskCounts(examples=len(rows), tokens=tokens, supervised_tokens=supervised)
    return found


def dropped(table: Table, mask: Array | None = None) -> dict[str, int]:
    """Rule -> records (of `mask`, if it is given) that it dropped, in the order of the rules."""
    rules = table["rule"] if mask is None else table["rule"][mask]
    numbers = np.bincount(rules[rules >= 0], minlength=len(RULES))
    return {rule.name: int(number) for rule, number in zip(RULES, numbers, strict=True) if number}


def flagged(table: Table) -> dict[str, int]:
    """Rule -> kept examples that it marked."""
    flags = table["flags"][table.is_kept()]
    numbers = {rule.name: int((flags >> np.uint64(CODES[rule.name]) & np.uint64(1)).sum()) for rule in RULES}
    return {name: number for name, number in numbers.items() if number}


def label_counts(table: Table, rows: Array, config: DataConfig) -> dict[str, int]:
    """Label -> examples, with every label of the prompt; empty where the answer is not a label."""
    if config.prompt.output.format != "label":
        return {}
    return table.count(rows, "label", table.labels)


def longest_answer(table: Table, labels: list[str], renderer: Renderer) -> int:
    """Tokens of the longest expected answer of the held-out set, or of the longest label, with the end of the turn."""
    answers = sorted({*labels, *(example.answer for example, _ in table.examples(table.kept("held_out")))})
    return max((len(ids) for ids in renderer.answers(answers)), default=0)
