"""Which checkpoints of a training that is not finished stay in the store. `sftjobs gc` takes those of a finished one.

Only the holder of the LEASE prunes, and only up to the step that it has just saved: what the next attempt would begin
with always stays.
"""

import re
from collections.abc import Collection

from sftjobs import names
from sftjobs.artifact.checkpoints import StoredCheckpoint, list_checkpoints
from sftjobs.plan.types import Kind
from sftjobs.store.base import Store

_PART_NAME = re.compile(rf"(\d+)/{names.CHECKPOINT}/step-(\d+)/")


def superfluous(
    found: Collection[StoredCheckpoint], newest: int, last: int, every: int | None
) -> list[StoredCheckpoint]:
    """Which of the checkpoints nobody goes on from: not one of the `last` newest (at least one), nor kept for good.

    `every`: the first one at or after each multiple of so many steps is kept for good. What is beyond `newest`, the
    step that the caller has just saved, does not count: it was damaged when the caller began from an older one, or
    belongs to somebody who is ahead.
    """
    mine = sorted((one for one in found if one.step <= newest), reverse=True)
    kept = set(mine[: max(last, 1)])
    if every is not None:
        late = sorted((one for one in mine if one.step >= every), key=lambda one: (-one.step, one.incarnation))
        kept |= set({one.step // every: one for one in late}.values())  # the last in this order wins
    return [one for one in mine if one not in kept]


def prune(
    store: Store, kind: Kind, key: str, newest: int, last: int = 2, every: int | None = None
) -> list[StoredCheckpoint]:
    """Delete what is `superfluous`, COMMIT first: a reader that still lists it finds it damaged, and takes another one.

    Returns what was deleted.
    """
    doomed = superfluous(list_checkpoints(store, kind, key), newest, last, every)
    for old in doomed:
        store.delete(names.checkpoint_commit(kind, key, old.step, old.incarnation))
        for entry in list(store.list(names.checkpoint_prefix(kind, key, old.incarnation, old.step))):
            store.delete(entry.key)
    return doomed


def is_incomplete(kind: Kind, key: str, name: str, names_there: Collection[str]) -> bool:
    """Whether the object `name` of a stage is part of a checkpoint that has no COMMIT among `names_there`."""
    match = _PART_NAME.match(name.removeprefix(names.incarnations_prefix(kind, key)))
    if match is None:
        return False
    return names.checkpoint_commit(kind, key, int(match[2]), int(match[1])) not in names_there
