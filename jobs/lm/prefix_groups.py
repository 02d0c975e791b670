"""Which sequences to encode together, so that what they start with is encoded once.

One task has one prompt, and all its examples share a long start. Several tasks, or general conversations among them,
share only the first few tokens: then each task is a group of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from jobs.lm.spans import shared_start

_WORTH = 64
"""Tokens that a group of its own has to save at least: it makes batches less full."""


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences by index, and the tokens that all of them start with."""

    members: list[int]
    shared: int


def prefix_groups(heads: Sequence[Sequence[int]]) -> list[Group]:
    """Every index in one group, the largest group first. `heads` holds what may be shared of each sequence.

    Sequences leave a group for one with a longer start where that encodes fewer tokens: each of n members saves the
    longer part but once, and the shorter part is encoded anew.
    """
    # Of sorted sequences, what the first and the last share at their start, all between them share.
    order = sorted(range(len(heads)), key=lambda index: list(heads[index]))
    groups: list[Group] = []
    open_ = [order] if order else []
    while open_:
        members = open_.pop()
        shared = shared_start(heads[members[0]], heads[members[-1]])
        rest: list[int] = []
        for _, same in groupby(members, key=lambda index: tuple(heads[index][shared : shared + 1])):
            branch = list(same)
            longer = shared_start(heads[branch[0]], heads[branch[-1]])
            # The whole group may not leave itself: its start is already as long as it gets.
            if len(branch) < len(members) and (len(branch) - 1) * (longer - shared) > shared + _WORTH:
                open_.append(branch)
            else:
                rest += branch
        if rest:
            groups.append(Group(rest, shared_start(heads[rest[0]], heads[rest[-1]])))
    return sorted(groups, key=lambda group: -len(group.members))
