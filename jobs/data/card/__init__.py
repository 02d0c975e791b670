"""The data card: what a person wants to see about the data of a run, for the report's section on data.

`card` gives fields that section.py adds to its own; each is left out of the page where it is empty.
"""

from typing import Any

from jobs.data.card.columns import difficulties, languages, mended, personal, rules
from jobs.data.card.limit import within
from jobs.data.card.noise import suspects
from jobs.data.card.pairs import boundary_pairs, near_duplicates, overlaps
from jobs.data.gather import Gathered
from jobs.data.prepare import Prepared
from sftjobs.plan.configs import DataConfig

__all__ = ["card", "within"]


def card(found: Gathered, prepared: Prepared, config: DataConfig) -> dict[str, Any]:
    """Fields `rules`, `languages`, `difficulties`, `near_duplicates`, `boundary`, `overlaps`, `noise`, `pii`, `mended`,
    `residue`; see docs/report.md."""
    table = found.table
    return {
        "rules": rules(table, len(found.bad)),
        "languages": languages(table),
        "difficulties": difficulties(table),
        "near_duplicates": near_duplicates(table, config.seed),
        "boundary": boundary_pairs(table, prepared.likeness, config.seed),
        "overlaps": overlaps(table, config.seed),
        "noise": suspects(table),
        "pii": personal(table),
        "mended": mended(table),
        "residue": prepared.residue[:20],
    }
