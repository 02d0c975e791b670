"""The report of a run in the store: gather manifests and sections, build, write; and read it again."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sftjobs import names
from sftjobs.artifact.stages import WAY_OUT
from sftjobs.canonical import sha256
from sftjobs.controller.status import read_heartbeat
from sftjobs.errors import DamagedError, DataError, NotFoundError
from sftjobs.plan.committed import Committed, committed
from sftjobs.plan.types import RunPlan
from sftjobs.report.attempts import AttemptReport
from sftjobs.report.build import Report, StageReport, build
from sftjobs.runs import Attempt, read_attempts, read_owner
from sftjobs.store.base import Store


def publish(store: Store, plan: RunPlan, run_id: str) -> None:
    """Build the report from what is committed and write it; the newest one wins. Raises StoreError, DamagedError."""
    done = committed(plan, store)
    owner, attempts = read_owner(store, run_id), read_attempts(store, run_id)
    run = {
        "run_id": run_id,
        "name": plan.name,
        "store": store.uri,
        "user": owner.user,
        "created": owner.created,
        "built": time.time(),
        "attempts": {stage: len(tries) for stage, tries in attempts.items()},
    }
    stages = [StageReport(name, item.ref.kind, item.manifest, _sections(store, item)) for name, item in done.items()]
    report = build(run, stages, _attempts(store, plan, run_id, attempts, done))
    store.put(names.report_file(run_id, "json"), report.json)
    store.put(names.report_file(run_id, "html"), report.html)


def read_report(store: Store, run_id: str) -> Report:
    """The report of a finished run. Raises DataError if there is none yet."""
    try:
        found = [store.get(names.report_file(run_id, form)).body for form in ("json", "html")]
    except NotFoundError:
        way_out = f"`sftjobs status {run_id}` shows where the run is"
        raise DataError(f"run {run_id} has no report: it has not ended with a comparison; {way_out}") from None
    return Report(json=found[0], html=found[1])


def html_path(store: Store, run_id: str, local: Path) -> Path:
    """A path under which report.html can be opened here: in a folder store its own, else a copy in `local`."""
    path = store.local_path(names.report_file(run_id, "html"))
    if path is not None:
        return path
    copy = local / "reports" / f"{run_id}.html"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(store.get(names.report_file(run_id, "html")).body)
    return copy


def _attempts(
    store: Store,
    plan: RunPlan,
    run_id: str,
    attempts: Mapping[str, Sequence[Attempt]],
    done: Mapping[str, Committed],
) -> list[AttemptReport]:
    """In plan order; each with its last heartbeat."""
    found = []
    for node in plan.stages:
        manifest = done[node.name].manifest if node.name in done else None
        maker = (manifest.facts.get("run_id"), manifest.facts.get("attempt")) if manifest is not None else None
        for attempt in attempts.get(node.name, ()):
            beat = read_heartbeat(store, run_id, node.name, attempt.number)
            own = manifest if maker == (run_id, attempt.number) else None
            found.append(AttemptReport(node.name, attempt, beat, own))
    return found


def _sections(store: Store, stage: Committed) -> dict[str, Any]:
    """The report sections of a stage, by file name. Raises DamagedError."""
    prefix = f"{names.incarnation_prefix(stage.ref.kind, stage.ref.key, stage.ref.incarnation)}{names.INFO}/"
    folder = f"{names.REPORT_SECTIONS}/"
    return {
        Path(entry.path).stem: read_section(store, prefix + entry.path, entry.sha256)
        for entry in stage.manifest.info
        if entry.path.startswith(folder) and entry.path.endswith(".json")
    }


def read_section(store: Store, key: str, wanted: str) -> Any:
    """One section, if it has the SHA-256 `wanted`. Raises DamagedError."""
    try:
        body = store.get(key).body
    except NotFoundError:
        raise DamagedError(key, f"{store.uri}/{key} is missing although the stage is committed; {WAY_OUT}") from None
    if sha256(body) != wanted:
        raise DamagedError(key, f"{store.uri}/{key} is not what was committed; {WAY_OUT}")
    return json.loads(body)
