"""Tables of the data card that come from columns of numbers alone, and personal data."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from jobs.data.counts import dropped, flagged
from jobs.data.rules import BY_NAME, CODES
from jobs.data.table import LANGUAGES, SIDES, Table

Row = dict[str, Any]
_NUMBERED = re.compile(r"(\d[\d,]*) (\w+)")


def rules(table: Table, bad: int) -> list[Row]:
    """Every rule that dropped or marked something: records dropped, kept examples marked, meaning, way out."""
    gone = ({"bad_record": bad} if bad else {}) | dropped(table)
    marked = flagged(table)
    return [
        {
            "rule": rule,
            "dropped": gone.get(rule, 0),
            "marked": marked.get(rule, 0),
            "meaning": BY_NAME[rule].meaning,
            "way_out": BY_NAME[rule].way_out,
        }
        for rule in CODES
        if rule in gone or rule in marked
    ]


def languages(table: Table) -> list[Row]:
    """Kept examples by the language of the answer, for each set; languages without any are left out."""
    return _by(table, "language", list(LANGUAGES), "language")


def difficulties(table: Table) -> list[Row]:
    """Kept examples by difficulty as the records say it; empty if none does. Names in the order of their text."""
    rows = _by(table, "difficulty", table.difficulties, "difficulty")
    return sorted(rows, key=lambda row: str(row["difficulty"]))


def _by(table: Table, column: str, names: list[str], title: str) -> list[Row]:
    counts = {side: table.count(table.kept(side), column, names) if names else {} for side in SIDES}
    rows = [{title: name, **{side: counts[side][name] for side in SIDES}} for name in names]
    return [row for row in rows if any(row[side] for side in SIDES)]


def personal(table: Table) -> list[Row]:
    """Kinds of personal data in what rule `pii` marked or dropped: records that have it, and how often it was found."""
    bit = np.uint64(1 << CODES["pii"])
    rows = np.flatnonzero(((table["flags"] & bit) != 0) | (table["rule"] == CODES["pii"]))
    finds: Counter[str] = Counter()
    examples: Counter[str] = Counter()
    for _, found in table.examples(rows):
        for kind, number in _kinds(one.reason for one in found if one.rule == "pii"):
            finds[kind] += number
            examples[kind] += 1
    return [{"kind": kind, "records": examples[kind], "finds": finds[kind]} for kind in sorted(finds)]


def _kinds(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """`2 phone, 1 email` as pairs of kind and number."""
    return [(match[2], int(match[1].replace(",", ""))) for reason in reasons for match in _NUMBERED.finditer(reason)]


def mended(table: Table) -> dict[str, int]:
    """Set -> kept examples in whose text characters were mended or personal data was masked."""
    counts = {side: int(table["repaired"][table.kept(side)].sum()) for side in SIDES}
    return {side: number for side, number in counts.items() if number}
