"""From a table of records to the sets: each step may only drop or mark a row, by a rule with a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.data import duplicates
from jobs.data.checks import LateChecks
from jobs.data.denoise import denoise
from jobs.data.gather import Progress
from jobs.data.helpers import InputFile
from jobs.data.likeness import Likeness, find
from jobs.data.limits import apply_limits
from jobs.data.measure import Late, drop_unusable, measure
from jobs.data.names import GENERAL
from jobs.data.problems import Problems
from jobs.data.protected import (
    Protected,
    after_truncation,
    drop_matches,
    drop_overlaps,
    guards,
    ngram_index,
    read_protected,
    waived_ids,
)
from jobs.data.rules import BY_NAME, CODES, KEPT, RULES
from jobs.data.split import set_aside
from jobs.data.table import Side, Table
from jobs.lm.render import Renderer
from sftjobs.errors import DataError
from sftjobs.plan.configs import DataConfig

_SIDE_NAMES: dict[Side, str] = {"train": "training", "held_out": "held-out", "dev": "dev"}


@dataclass
class Prepared:
    """A table whose rows are decided, and what was found on the way."""

    table: Table
    likeness: Likeness
    conflicts: duplicates.Conflicts
    protected: Protected
    residue: list[str]
    """Passages of the held-out set that are so frequent in it that they count as part of the template."""


@dataclass(frozen=True)
class Given:
    """What `prepare` works with, beside the table."""

    config: DataConfig
    files: Mapping[str, InputFile]
    problems: Problems
    progress: Progress
    model: Path | None
    """Folder of the tokenizer; None: tokens are not counted."""
    renderer: Renderer | None
    processes: int = 1
    most_measured: int | None = None
    """Count tokens of at most so many examples; None: of all."""


def prepare(table: Table, given: Given) -> Prepared:
    """Decide every row: duplicates, sides, overlaps, token counts, noise, limits, selection."""
    config = given.config
    given.progress("compare", 0, None)
    protected = read_protected(config, given.files, given.problems.add)
    waive = config.decontaminate.waive
    waived = waived_ids(None if waive is None else given.files[waive])
    duplicates.exact(table, config.duplicates.exact)
    likeness = find(table, protected.bands, protected.texts, config.duplicates.threshold)
    if config.held_out_fraction is not None or config.dev_fraction is not None:
        set_aside(table, likeness, config.held_out_fraction, config.dev_fraction, config.seed, GENERAL)
    duplicates.near(table, likeness, config.duplicates.near, config.duplicates.threshold)
    found = duplicates.conflicts(table, config.duplicates.conflicts)
    drop_overlaps(table, likeness, protected, waived)
    residue = _measure(table, given, protected, waived)
    _stop_on_overlaps(table, config)
    denoise(table, config.denoise, GENERAL)
    apply_limits(table, config)
    return Prepared(table, likeness, found, protected, residue)


def _measure(table: Table, given: Given, protected: Protected, waived: Sequence[str]) -> list[str]:
    """The second look; returns passages that were not counted as overlaps."""
    config = given.config
    rows = table.kept()
    if given.most_measured is not None and len(rows) > given.most_measured:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, given.most_measured, replace=False))
    held_out = guards(table, "held_out", protected)
    dev = guards(table, "dev", Protected())
    index = ngram_index(held_out.texts, config)
    dev_index = ngram_index(dev.texts, config) if dev.texts else None
    reference: Sequence[int] = ()
    if given.renderer is not None and len(rows):
        reference = given.renderer.render([table.example(int(rows[0])).messages])[0].ids
    checks = LateChecks.learn(table, config)
    late = Late(config, given.model if given.renderer else None, index, dev_index, checks, reference)
    matches, dev_matches = measure(table, rows, late, given.processes, given.progress)
    drop_matches(table, matches, held_out, protected, waived)
    drop_matches(table, dev_matches, dev, Protected(), waived)
    after_truncation(table, protected, waived)
    _stop_on_late_rules(table, config)
    _stop_on_long(table, config)
    drop_unusable(table, config.max_tokens)
    return index.residue


def _stop_on_late_rules(table: Table, config: DataConfig) -> None:
    """Rules that looked at all answers and have the action `stop`."""
    for rule in ("cut_answer", "repeated_phrase"):
        rows = np.flatnonzero(table["rule"] == CODES[rule])
        if getattr(config.clean, rule) == "stop" and len(rows):
            shown = [f"line {table['line'][row]:,}: {table.reasons[row][rule]}" for row in rows[:20].tolist()]
            raise DataError(f"{len(rows):,} examples (data.clean.{rule} is stop):\n  " + "\n  ".join(shown))


def _stop_on_overlaps(table: Table, config: DataConfig) -> None:
    """With `decontaminate.action: stop` an overlap is a mistake."""
    rules = ("held_out_exact", "held_out_ngram", "held_out_near")
    rows = np.flatnonzero(np.isin(table["rule"], [CODES[rule] for rule in rules]))
    if config.decontaminate.action == "stop" and len(rows):
        shown = [f"{table.example(row).id} (line {table['line'][row]:,})" for row in rows[:20].tolist()]
        raise DataError(
            f"{len(rows):,} training examples overlap what is held out (data.decontaminate.action is stop):\n  "
            + "\n  ".join(shown)
            + "\nRemove them, name harmless ones in data.decontaminate.waive, or set action: drop"
        )


def _stop_on_long(table: Table, config: DataConfig) -> None:
    """With `overlength: stop` a long conversation is a mistake."""
    rows = np.flatnonzero(table.is_kept() & (table.tokens > config.max_tokens))
    if config.overlength == "stop" and len(rows):
        longest = int(table.tokens[rows].max())
        lines = ", ".join(f"{line:,}" for line in table["line"][rows[:10]].tolist())
        raise DataError(
            f"{len(rows):,} examples have more than {config.max_tokens:,} tokens (data.overlength is stop), "
            f"the longest {longest:,}; lines {lines}{' ...' if len(rows) > 10 else ''}. Raise data.max_tokens, or set "
            "overlength to drop or truncate"
        )


def empty_sides(table: Table) -> list[str]:
    """Why there is nothing to train on, or nothing to evaluate on; empty if there is both."""
    general = table.of(task=GENERAL)
    sides: tuple[Side, ...] = ("train", "held_out")
    return [_why_empty(table, side, general) for side in sides if not (table.is_kept(side) & ~general).any()]


def too_much_dropped(table: Table, most: float) -> list[str]:
    """Sides and tasks of which rules, not limits, dropped more than the share `most`."""
    judged = np.isin(table["rule"], [CODES[rule.name] for rule in RULES if not rule.limit])
    found = []
    sides: tuple[Side, ...] = ("train", "held_out")
    for side in sides:
        for task in table.tasks:
            mask = table.of(side, task)
            number, dropped = int(mask.sum()), int((mask & judged).sum())
            if number and dropped > most * number:
                reasons = _reasons(table, mask)
                found.append(
                    f"{dropped:,} of {number:,} {_SIDE_NAMES[side]} records of {task} were dropped by rules, more than "
                    f"data.max_dropped ({most:.0%}): {reasons}"
                )
    return found


def stop_if_empty(table: Table, config: DataConfig) -> None:
    """Raises DataError that names the rules which dropped everything, or more than is likely to be meant."""
    reasons = empty_sides(table) or too_much_dropped(table, config.max_dropped)
    if reasons:
        raise DataError("\n".join(reasons))


def _why_empty(table: Table, side: Side, general: np.ndarray) -> str:  # type: ignore[type-arg]
    mask = table.of(side) & ~general
    name = _SIDE_NAMES[side]
    if not mask.any():
        return f"no {name} examples: of {int((~general).sum()):,} records none came to this side; change data.held_out"
    return f"no {name} examples are left of {int(mask.sum()):,}: {_reasons(table, mask)}"


def _reasons(table: Table, mask: np.ndarray) -> str:  # type: ignore[type-arg]
    numbers = np.bincount(table["rule"][mask & (table["rule"] != KEPT)], minlength=len(RULES))
    named = [(rule.name, int(number)) for rule, number in zip(RULES, numbers, strict=True) if number]
    return ", ".join(f"{name} {number:,} ({BY_NAME[name].way_out})" for name, number in named)
