"""The path of one record through the data stage, and the counts of all of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.data.ledger import SCORES
from jobs.data.rules import BY_NAME
from jobs.data.why.find import place_of
from jobs.data.why.ledger import Ledger, Row
from jobs.data.why.rules_of import ORDER, actions, looks_at
from sftjobs.plan.configs import DataConfig, MixtureConfig
from sftjobs.plan.sampler import Mixture, Order

Names = Mapping[str, list[str]]
FILES = {"train": "train.jsonl", "held_out": "held_out.jsonl", "dev": "dev.jsonl"}
_SHOWN_IDS = 3
_SHOWN_SAME = 20
_MOST_EPOCHS = 10
_MOST_DRAWN = 300_000
"""Training examples of which the order is still computed: some seconds per epoch."""
_OF_ANOTHER_VERSION = "a rule of another version of sftjobs; the ledger has no more about it"
_MEASURED = (
    "language", "question_characters", "answer_characters", "tokens", "supervised_tokens", "removed_turns", "label",
    "difficulty",
)  # fmt: skip


def story(ledger: Ledger, rows: Sequence[Row], names: Names, config: DataConfig | None) -> dict[str, Any]:
    """What the ledger knows of one record; `rows` are the record and those that are equal to it."""
    row, *same = rows
    return {
        **_identity(row, names),
        "reason": row["reason"],
        "rules": None if config is None else path(row, config),
        "meaning": None if row["rule"] is None else meaning(row["rule"]),
        "way_out": None if row["rule"] is None else way_out(row["rule"]),
        "flags": [{"rule": rule, "meaning": meaning(rule)} for rule in row["flags"] or []],
        "related": _related(ledger, row, names),
        "same": [_identity(one, names) for one in same[:_SHOWN_SAME]],
        "more_same": max(0, len(same) - _SHOWN_SAME),
        "boundary": row["boundary"],
        "repaired": row["repaired"],
        "measured": {name: row[name] for name in _MEASURED},
        "scores": {name: row[name] for name in SCORES},
        "file": FILES[row["split"]] if row["decision"] == "kept" else None,
        "not_recorded": ledger.not_recorded,
    }


def _identity(row: Row, names: Names) -> dict[str, Any]:
    kept = ("id", "user_id", "task", "source", "line", "split", "decision", "rule")
    return {**{name: row[name] for name in kept}, "place": place_of(row, names)}


def path(row: Row, config: DataConfig) -> list[dict[str, str]]:
    """Every rule in the order of application with what came of it.

    `passed`, `marked`, `dropped`, `off`, `not for this set`, or `not reached` behind the rule that dropped the record.
    """
    done, steps, over = actions(config), [], False
    for rule in ORDER:
        if rule == row["rule"]:
            outcome, over = "dropped", True
        elif rule in (row["flags"] or []):
            outcome = "marked"
        elif over:
            outcome = "not reached"
        elif done[rule] == "off":
            outcome = "off"
        else:
            outcome = "passed" if looks_at(rule, row["split"]) else "not for this set"
        steps.append({"rule": rule, "outcome": outcome, "action": done[rule]})
    return steps


def meaning(rule: str) -> str:
    """What a record did that the rule names."""
    return BY_NAME[rule].meaning if rule in BY_NAME else _OF_ANOTHER_VERSION


def way_out(rule: str) -> str | None:
    """What to do if the rule drops too much."""
    return BY_NAME[rule].way_out if rule in BY_NAME else None


def _related(ledger: Ledger, row: Row, names: Names) -> dict[str, Any] | None:
    """The record that a rule compared this one with."""
    if row["related"] is None:
        return None
    rows = [one for one in ledger.rows(ledger.equal("id", row["related"])) if one["line"] != row["line"]]
    return _identity(rows[0], names) if rows else None


def epochs(ledger: Ledger, row: Row, mixture: MixtureConfig, seed: int) -> list[dict[str, int]] | None:
    """How often training draws the example in each of the first epochs; None if that takes too long to count."""
    kept = ledger.where(pc.and_(pc.equal(ledger.table["decision"], "kept"), pc.equal(ledger.table["split"], "train")))
    if len(kept) > _MOST_DRAWN:
        return None
    drawn = Mixture.of(mixture)
    if not drawn.draws_from(row["task"]):
        return []
    table = ledger.table.take(pa.array(kept, pa.int64()))
    table = table.take(pa.array(drawn.drawn_from(table["task"].to_pylist()), pa.int64()))
    index = pc.index(table["id"], row["id"]).as_py()
    order = Order(table["task"].to_pylist(), drawn, global_batch=1, seed=seed)
    shown = range(min(len(order.sizes), _MOST_EPOCHS))
    return [{"epoch": epoch + 1, "uses": _uses(order, epoch, row["task"], index)} for epoch in shown]


def _uses(order: Order, epoch: int, task: str, index: int) -> int:
    drawn = order.drawn(epoch).get(task)
    return 0 if drawn is None else drawn.passes + (index in drawn.more)


def funnel(ledger: Ledger) -> dict[str, Any]:
    """Counts per rule, each with some ids to ask on with."""
    table = ledger.table
    dropped, marked = Counter(table["rule"].to_pylist()), Counter[str]()
    if "flags" in table.column_names:
        mask = pc.and_(pc.equal(table["decision"], "kept"), pc.greater(pc.list_value_length(table["flags"]), 0))
        marked = Counter(pc.list_flatten(table.filter(mask)["flags"]).to_pylist())
    kept = table.filter(pc.equal(table["decision"], "kept"))
    sets = Counter(kept["split"].to_pylist())
    return {
        "records": table.num_rows,
        "dropped": [_counted(ledger, rule, dropped[rule], "dropped") for rule in _ordered(dropped)],
        "marked": [_counted(ledger, rule, marked[rule], "kept") for rule in _ordered(marked)],
        "sets": {name: sets[name] for name in FILES if sets[name]},
        "not_recorded": ledger.not_recorded,
    }


def _ordered(counts: Mapping[Any, int]) -> list[str]:
    names = [name for name in counts if name is not None]
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def _counted(ledger: Ledger, rule: str, number: int, decision: str) -> dict[str, Any]:
    """One rule with the first records that it dropped or marked; a record without id is named by its place."""
    table = ledger.table
    if decision == "dropped":
        first = ledger.equal("rule", rule)[:_SHOWN_IDS]
    else:
        kept = pc.equal(table["decision"], "kept")
        first = ledger.where(pc.and_(kept, _has(table["flags"], rule)))[:_SHOWN_IDS]
    shown = [{name: row[name] for name in ("id", "source", "line")} for row in ledger.rows(first)]
    return {
        "rule": rule, "records": number, "meaning": meaning(rule), "way_out": way_out(rule), "first": shown
    }  # fmt: skip


def _has(flags: pa.ChunkedArray, rule: str) -> pa.ChunkedArray:
    """Mask of the lists that hold a rule's name."""
    masks = []
    for chunk in flags.chunks:
        parents = pc.filter(pc.list_parent_indices(chunk), pc.equal(pc.list_flatten(chunk), rule))
        masks.append(pc.is_in(pa.array(np.arange(len(chunk))), value_set=pc.cast(parents, pa.int64())))
    return pa.chunked_array(masks, pa.bool_())
