"""Which record is meant: an id, the beginning of one, the user's own id, or a place."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from jobs.data.why.ledger import Ledger, Row
from sftjobs.errors import DataError
from sftjobs.spec.words import listed

SHORTEST = 6
"""Hex digits of an id that are enough to ask with."""
_SHOWN = 10
_COMPARED = 20_000
"""User ids that a misspelt one is compared with."""
_HEX = re.compile(r"[0-9a-f]+")
_PLACE = re.compile(r"(.+):(\d+)")


def find(ledger: Ledger, ask: str, names: Mapping[str, list[str]]) -> list[Row]:
    """The row of the one record that `ask` means, and behind it those of records that are equal to it.

    An id means the equal records together, of which one that is kept comes first; a place means one of them.

    `names` gives the names by which a person may call each source, by digest. Raises DataError if there is no such
    record, or if there are several that differ.
    """
    asked = ask.strip()
    numbers = _matches(ledger, asked, names)
    rows = ledger.rows(numbers)
    if not rows:
        raise DataError(_unknown(ledger, asked, names))
    if len({row["id"] or (row["source"], row["line"]) for row in rows}) > 1:
        shown = "\n".join(f"  {_brief(row, names)}" for row in rows[:_SHOWN])
        more = f"\n  and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
        raise DataError(f"{asked!r} means {len(rows):,} records; give more of the id, or FILE:LINE:\n{shown}{more}")
    rows.sort(key=lambda row: row["decision"] != "kept")
    equal = [] if rows[0]["id"] is None else ledger.equal("id", rows[0]["id"])
    return rows + ledger.rows([number for number in equal if number not in numbers])


def _matches(ledger: Ledger, ask: str, names: Mapping[str, list[str]]) -> list[int]:
    """Row numbers; a user's own id comes before what could be a line or the beginning of an id."""
    own = ledger.equal("user_id", ask)
    if own:
        return own
    found: set[int] = set()
    place = _PLACE.fullmatch(ask)
    if place is not None:
        sources = _sources(place[1], names)
        lines = ledger.equal("line", int(place[2]))
        found |= {number for number in lines if ledger.table["source"][number].as_py() in sources}
    if ask.isascii() and ask.isdigit() and len(ask) < 18:
        found |= set(ledger.equal("line", int(ask)))
    if len(ask) >= SHORTEST and _HEX.fullmatch(ask.lower()):
        found |= set(_starting(ledger, ask.lower()))
    return sorted(found)


def _starting(ledger: Ledger, beginning: str) -> list[int]:
    return ledger.where(pc.starts_with(ledger.table["id"], beginning))


def _sources(name: str, names: Mapping[str, list[str]]) -> set[str]:
    """Digests of the sources that a person may call so: by path, by the end of a path, by input or by task."""
    wanted = PurePosixPath(name).parts
    return {
        digest
        for digest, known in names.items()
        if any(PurePosixPath(one).parts[-len(wanted) :] == wanted or one.endswith(f".{name}") for one in known)
    }


def _brief(row: Row, names: Mapping[str, list[str]]) -> str:
    id_ = "no id" if row["id"] is None else row["id"][:16]
    fate = row["decision"] if row["rule"] is None else f"dropped by {row['rule']}"
    return f"{id_}  {place_of(row, names)}  {row['task']}, {row['split']}, {fate}"


def place_of(row: Row, names: Mapping[str, list[str]]) -> str:
    """`FILE:LINE`."""
    known = names.get(row["source"])
    return f"{PurePosixPath(known[0]).name if known else row['source'][:12]}:{row['line']}"


def _unknown(ledger: Ledger, ask: str, names: Mapping[str, list[str]]) -> str:
    """Why nothing was found, and what is near."""
    place = _PLACE.fullmatch(ask)
    known = [PurePosixPath(one[0]).name for one in names.values() if one]
    if place is not None and not _sources(place[1], names):
        return f"{ask}: no source is called {place[1]!r}; the sources of the run are {listed(known, 'and')}"
    if place is not None:
        return f"{ask}: no record begins in line {int(place[2]):,}; {_lines(ledger, _sources(place[1], names))}"
    hexadecimal = _HEX.fullmatch(ask.lower()) is not None
    if hexadecimal and len(ask) < SHORTEST and not ask.isdigit():
        return f"{ask!r}: give at least {SHORTEST} digits of an id; {ledger.table.num_rows:,} records are in the ledger"
    near = [f"{one[:16]}..." for one in _near_ids(ledger, ask.lower())] if hexadecimal else _near_own(ledger, ask)
    hint = f"; the nearest are {listed(near, 'and')}" if near else ""
    return f"no record has the id {ask!r}{hint}. Ask with an id, the beginning of one, your own id, or FILE:LINE"


def _lines(ledger: Ledger, sources: set[str]) -> str:
    mask = pc.is_in(pc.cast(ledger.table["source"], "string"), value_set=pa.array(sorted(sources), pa.string()))
    lines = pc.min_max(pc.filter(ledger.table["line"], mask)).as_py()
    return f"the first of this source begins in line {lines['min']}, the last in line {lines['max']}"


def _near_ids(ledger: Ledger, ask: str) -> list[str]:
    """Up to three ids with the longest beginning in common."""
    for length in range(min(len(ask) - 1, 16), 1, -1):
        numbers = _starting(ledger, ask[:length])
        if numbers:
            return list(dict.fromkeys(ledger.table["id"][number].as_py() for number in numbers))[:3]
    return []


def _near_own(ledger: Ledger, ask: str) -> list[str]:
    if "user_id" not in ledger.table.column_names:
        return []
    own = pc.drop_null(ledger.table["user_id"].slice(0, _COMPARED)).to_pylist()
    return [repr(one) for one in get_close_matches(ask, own, n=3)]
