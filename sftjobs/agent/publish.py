"""From the program's output folder to a committed artifact."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sftjobs import names
from sftjobs.agent.logs import Log
from sftjobs.agent.stop import Stop, StopRequested
from sftjobs.artifact import stages
from sftjobs.artifact.digest import artifact_digest, file_entries
from sftjobs.artifact.transfer import upload_tree
from sftjobs.crashpoints import crash_point
from sftjobs.errors import AlreadyExistsError, ChangedError, DamagedError, DataError, StoreConfigError, StoreError
from sftjobs.plan.types import Manifest, StagePlan
from sftjobs.store.base import OnBytes, Store

FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 30.0
HOPELESS = (AlreadyExistsError, ChangedError, DamagedError, StoreConfigError)
"""Errors of a store that is there: waiting will not help."""
T = TypeVar("T")


def patiently(what: str, action: Callable[[], T], patience_s: float, stop: Stop, log: Log, grace_s: float) -> T:
    """Call `action` until the store is back: the result of hours must survive an outage.

    Gives up after `patience_s` seconds, or when the grace after a request to stop has passed; the StoreError then
    comes out, or StopRequested.
    """
    started, pause = time.monotonic(), FIRST_PAUSE_S
    while True:
        try:
            return action()
        except HOPELESS:
            raise
        except StoreError as error:
            if stop.requested and time.monotonic() + pause > stop.since + grace_s:
                raise StopRequested from error
            if time.monotonic() + pause > started + patience_s:
                raise
            log.say(f"{what}: will be tried again in {pause:.0f} s: {error}")
        time.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE_S)


def read_counts(output: Path) -> dict[str, Any]:
    """What the program counted; empty if it wrote nothing. Raises DataError if it is no JSON object."""
    path = output / names.COUNTS_JSON
    if not path.exists():
        return {}
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{names.COUNTS_JSON} of the program is not JSON: {error}") from None
    if not isinstance(counts, dict):
        raise DataError(f"{names.COUNTS_JSON} of the program is not a JSON object")
    return counts


def upload_output(
    store: Store,
    plan: StagePlan,
    incarnation: int,
    output: Path,
    facts: Callable[[], dict[str, Any]],
    on_bytes: OnBytes | None = None,
) -> Manifest:
    """Upload `content/` and `info/` under the incarnation; returns the manifest. May be repeated.

    Raises DataError if the program left something that cannot be an artifact; StoreError.
    """
    prefix = names.incarnation_prefix(plan.kind, plan.key, incarnation)
    content, info = file_entries(output / names.CONTENT), file_entries(output / names.INFO)
    upload_tree(store, prefix + names.CONTENT, output / names.CONTENT, content, on_bytes)
    crash_point("after-content")
    upload_tree(store, prefix + names.INFO, output / names.INFO, info, on_bytes)
    crash_point("after-info")
    return Manifest(
        kind=plan.kind,
        key=plan.key,
        incarnation=incarnation,
        digest=artifact_digest(content),
        content=content,
        info=info,
        inputs={name: item.digest for name, item in sorted(plan.inputs.items())},
        versions=plan.key_json.get("program", {}).get("libraries", {}),
        counts=read_counts(output),
        facts=facts(),
    )


def commit(store: Store, manifest: Manifest) -> str:
    """Commit; returns a warning if another, different artifact was committed first.

    Raises ChangedError if what was uploaded is not there any more: after an outage that outlived the LEASE, somebody
    may have discarded the stage, and a COMMIT must never point at missing files.
    """
    try:
        stages.check_sizes(store, manifest.kind, manifest.key, manifest)
    except DamagedError as missing:
        what = f"incarnation {manifest.incarnation} of {manifest.kind}/{manifest.key}"
        raise ChangedError(f"{what} was deleted before it could be committed: {missing.key}") from missing
    standing = stages.commit(store, manifest)
    if stages.lost_race(store, manifest, standing) != "different":
        return ""
    return (
        f"nondeterministic stage: incarnation {standing.incarnation} was committed first with another result than "
        f"incarnation {manifest.incarnation}; the first one stays"
    )
