"""Which rank the others wait for: told from where each of them is (`sftjobs.phases`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from sftjobs.model import Document
from sftjobs.phases import Phase

_DOING = {
    Phase.LOAD: "loading data and model",
    Phase.DATA: "waiting for data (loader)",
    Phase.PASSES: "in forward and backward",
    Phase.AGREE: "in a collective",
    Phase.UPDATE: "updating the weights",
    Phase.LOOK: "looking at the dev set",
    Phase.SAVE: "writing its checkpoint",
    Phase.EXPORT: "exporting",
}
_ALONE = (Phase.DATA, Phase.SAVE)
"""A rank in here waits for no other one."""
SHOWN = 8
"""Ranks named in a message."""


class Place(Document):
    """Where one rank is."""

    rank: int
    phase: Phase
    step: int
    count: int
    """Marks so far: the same for ranks that are at the same place."""
    for_s: float
    """Seconds since its mark, when it was read."""


@dataclass(frozen=True)
class Verdict:
    """What the places of all ranks say about a silence."""

    message: str = ""
    """For people; empty if no rank has said where it is."""
    rank: int | None = None
    """The one that the others wait for, if it is one."""


def judge(places: Sequence[Place], world: int) -> Verdict:
    """Who is waited for, among `world` ranks."""
    if not places:
        return Verdict()
    missing = sorted(set(range(world)) - {place.rank for place in places})
    if missing:
        return _one_of(missing, f"{_ranks(missing)}: still starting")
    last = min(places, key=lambda place: place.count)
    behind = sorted(place.rank for place in places if place.count == last.count)
    at = f" at step {last.step}" if last.step else ""
    where = f"{_DOING[last.phase]} since {min(p.for_s for p in places if p.rank in behind):.0f} s{at}"
    if len(behind) < world:
        return _one_of(behind, f"{_ranks(behind)}: {where}; the other ranks wait for it in a collective")
    if world == 1:
        return _one_of(behind, f"rank 0: {where}")
    if last.phase in _ALONE:
        return Verdict(f"all ranks: {where}")
    # DDP exchanges gradients inside of backward: from outside, a rank that computes without end looks like its peers.
    or_else = ", or one of them computes without end" if last.phase != Phase.AGREE else ""
    return Verdict(f"all ranks: {where}; none is behind, so the communication between them hangs{or_else}")


def _one_of(ranks: list[int], message: str) -> Verdict:
    return Verdict(message, ranks[0] if len(ranks) == 1 else None)


def _ranks(ranks: list[int]) -> str:
    more = f" and {len(ranks) - SHOWN} more" if len(ranks) > SHOWN else ""
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(str(rank) for rank in ranks[:SHOWN])}{more}"
