"""From where the ranks are to whom they wait for."""

from pathlib import Path

import pytest

from sftjobs.agent.whereabouts import Place, Verdict, judge
from sftjobs.phases import Marker, Phase, read_mark


def place(rank: int, phase: Phase, count: int, step: int = 12, for_s: float = 60.0) -> Place:
    return Place(rank=rank, phase=phase, step=step, count=count, for_s=for_s)


BEHIND = "the other ranks wait for it in a collective"


@pytest.mark.parametrize(
    ("places", "world", "verdict"),
    [
        ([], 4, Verdict()),
        ([place(0, Phase.DATA, 9)], 1, Verdict("rank 0: waiting for data (loader) since 60 s at step 12", 0)),
        (
            [place(0, Phase.PASSES, 10), place(1, Phase.PASSES, 10), place(2, Phase.DATA, 9, for_s=61.2)],
            3,
            Verdict(f"rank 2: waiting for data (loader) since 61 s at step 12; {BEHIND}", 2),
        ),
        (
            [place(0, Phase.DATA, 13, 13), place(1, Phase.SAVE, 12), place(2, Phase.SAVE, 12, for_s=50)],
            3,
            Verdict(f"ranks 1, 2: writing its checkpoint since 50 s at step 12; {BEHIND}"),
        ),
        (
            [place(0, Phase.PASSES, 10), place(1, Phase.PASSES, 10, for_s=9)],
            2,
            Verdict(
                "all ranks: in forward and backward since 9 s at step 12; none is behind, so the communication between "
                "them hangs, or one of them computes without end"
            ),
        ),
        (
            [place(0, Phase.AGREE, 10), place(1, Phase.AGREE, 10)],
            2,
            Verdict(
                "all ranks: in a collective since 60 s at step 12; none is behind, so the communication between "
                "them hangs"
            ),
        ),
        (
            [place(0, Phase.DATA, 1), place(1, Phase.DATA, 1)],
            2,
            Verdict("all ranks: waiting for data (loader) since 60 s at step 12"),
        ),
        ([place(0, Phase.LOAD, 1, 0)], 2, Verdict("rank 1: still starting", 1)),
        (
            [place(0, Phase.LOAD, 1, 0)],
            11,
            Verdict("ranks 1, 2, 3, 4, 5, 6, 7, 8 and 2 more: still starting"),
        ),
    ],
)
def test_who_is_waited_for(places: list[Place], world: int, verdict: Verdict) -> None:
    assert judge(places, world) == verdict


def test_a_mark_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "phase"
    assert read_mark(path) is None
    mark = Marker(path)
    assert read_mark(path) is None
    for step in (1000, 2):
        for phase in Phase:
            mark(phase, step)
            found = read_mark(path)
            assert found is not None
            assert (found.phase, found.step) == (phase, step)
    assert found.count == 2 * len(Phase)
