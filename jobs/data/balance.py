"""How a number of examples is shared between groups, so that each gets the same as far as there are enough.

Groups have one key or several, for example (label, difficulty). The first key is shared equally, then the share of each
value is shared between the values of the next key. Equal parts for all combinations would be something else: a label
that occurs in three difficulties would get three times as much as one that occurs in one.
"""

from collections import Counter
from collections.abc import Mapping

Group = tuple[str, ...]


def shares(available: Mapping[Group, int], keep: int) -> dict[Group, int]:
    """Examples to take from each group, `min(keep, all)` together. All groups have the same number of keys."""
    if () in available:
        return {(): min(keep, available[()])}
    sizes: Counter[str] = Counter()
    for group, number in available.items():
        sizes[group[0]] += number
    found: dict[Group, int] = {}
    for first, share in equal_shares(sizes, keep).items():
        inner = {group[1:]: number for group, number in available.items() if group[0] == first}
        found |= {(first, *rest): number for rest, number in shares(inner, share).items()}
    return found


def equal_shares(available: Mapping[str, int], keep: int) -> dict[str, int]:
    """The same for one key: what a small group cannot use goes to the others. What is left over by a division goes to
    the larger groups, to the later name between groups of one size."""
    found: dict[str, int] = {}
    left = keep
    for i, (name, number) in enumerate(sorted(available.items(), key=lambda item: (item[1], item[0]))):
        found[name] = min(number, left // (len(available) - i))
        left -= found[name]
    return found
