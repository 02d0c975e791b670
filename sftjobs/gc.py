"""Mark and sweep: what no run in the store needs any more.

Marked: every stage key that a kept run's plan leads to or that one of its attempts had, every pushed input that its
plan names. Swept, if older than the grace: unmarked stages and inputs, records of dropped runs, and below marked
stages that are committed what the winning incarnation left behind: other incarnations and checkpoints. Of checkpoints
of a stage that is not finished only those go whose upload was cut off: nobody ever goes on from them.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sftjobs import names, runs
from sftjobs.artifact import retention, stages
from sftjobs.artifact.lease import LeaseWatch, observe
from sftjobs.errors import BusyError, ChangedError, NotFoundError, SftError
from sftjobs.plan.committed import committed, done_in, next_plan
from sftjobs.plan.types import KINDS, Kind, RunPlan
from sftjobs.store.base import Entry, Store

COMMITS_FIRST = (names.COMMIT,)
"""Deleted before anything they point at, so that a reader never follows a COMMIT to missing files."""

LEFT_BEHIND_S = 900.0
"""A LEASE that was not renewed for so long is nobody's; clocks of store and observer may differ by minutes."""


@dataclass
class Sweep:
    """What would be deleted, by reason."""

    runs: list[str] = field(default_factory=list)
    """Every run that was there; another one may need what was found, so `delete` looks again."""
    found: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, reason: str, entries: Iterable[Entry]) -> None:
        """Remember objects under a reason."""
        self.found.setdefault(reason, []).extend(entries)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(entry.size for entries in self.found.values() for entry in entries)

    @property
    def objects(self) -> int:
        return sum(len(entries) for entries in self.found.values())


def find(store: Store, dropped_runs: set[str], grace_s: float, now: float | None = None) -> Sweep:
    """Everything that may go. `dropped_runs`: ids of runs whose records and results are given up.

    Raises BusyError if one of them is being worked on.
    """
    limit = (time.time() if now is None else now) - grace_s
    there = store.list_folders(names.RUNS)
    for run_id in sorted(dropped_runs):
        _refuse_if_controlled(store, run_id)
    keys: set[tuple[Kind, str]] = set()
    inputs: set[str] = set()
    rests: list[Entry] = []
    for run_id in there:
        if run_id in dropped_runs:
            continue
        try:
            plan = runs.read_plan(store, run_id)
        except NotFoundError:  # the plan is written first: this is the rest of a run whose deletion was cut off
            rests += [entry for entry in store.list(names.run_prefix(run_id)) if entry.modified <= limit]
            continue
        keys |= _stage_keys(store, run_id, plan)
        inputs |= _inputs(plan)
    sweep = Sweep(runs=there)
    sweep.add("records of dropped runs", rests)
    for run_id in sorted(dropped_runs):
        sweep.add("records of dropped runs", store.list(names.run_prefix(run_id)))
    for kind in KINDS:
        for key in store.list_folders(f"{names.STAGES}{kind}/"):
            entries = list(store.list(names.stage_prefix(kind, key)))
            if not entries or max(entry.modified for entry in entries) > limit:
                continue  # gone meanwhile, or somebody may be working on it
            if (kind, key) not in keys:
                sweep.add("stages that no run needs", entries)
            else:
                sweep.add("left behind by attempts that did not win", _leftovers(store, kind, key, entries))
    sweep.add("inputs that no run names", (e for e in store.list(names.INPUTS) if _unneeded(e, inputs, limit)))
    sweep.found = {reason: entries for reason, entries in sweep.found.items() if entries}
    return sweep


def delete(store: Store, sweep: Sweep) -> Iterator[Entry]:
    """Delete what was found, COMMITs first; yields each object after it is gone.

    Raises ChangedError if a run began since: it may count on what was found, as long as a COMMIT says that it is done.
    """
    entries = [entry for found in sweep.found.values() for entry in found]
    entries.sort(key=lambda e: (not e.key.endswith(COMMITS_FIRST), e.key))
    for entry in entries:
        if entry.key.endswith(COMMITS_FIRST) or entry is entries[0]:
            _refuse_if_runs_began(store, sweep)
        store.delete(entry.key)
        yield entry


def controller_of(store: Store, run_id: str) -> str | None:
    """Who controls a run now, or None. One that left its LEASE behind long ago does not count, wherever it was."""
    key = names.run_lease(run_id)
    view = observe(store, key, LeaseWatch())
    renewed = max((entry.modified for entry in store.list(key)), default=0.0)
    if not view.held or renewed < time.time() - LEFT_BEHIND_S:
        return None
    return "somebody" if view.owner is None else f"pid {view.owner.pid} on {view.owner.host}"


def _refuse_if_controlled(store: Store, run_id: str) -> None:
    who = controller_of(store, run_id)
    if who is not None:
        way_out = f"`sftjobs cancel {run_id}`, or wait until it has ended"
        raise BusyError(f"run {run_id} is controlled by {who}, so it cannot be dropped: {way_out}; nothing was deleted")


def _refuse_if_runs_began(store: Store, sweep: Sweep) -> None:
    began = sorted(set(store.list_folders(names.RUNS)) - set(sweep.runs))
    if began:
        raise ChangedError(f"run {began[0]} began meanwhile and may need what was to go; run `sftjobs gc` again")


def _stage_keys(store: Store, run_id: str, plan: RunPlan) -> set[tuple[Kind, str]]:
    """Keys of every stage that is committed or whose inputs are: it may have checkpoints that the run will go on from,
    also those of another run. And of every attempt, and of artifacts of other runs."""
    try:
        done = committed(plan, store)
        keys: set[tuple[Kind, str]] = {(one.ref.kind, one.ref.key) for one in done_in(store, run_id).values()}
    except SftError as error:
        raise SftError(f"run {run_id}: {error}; nothing was deleted") from error
    keys |= {(item.kind, item.key) for node in plan.stages if (item := next_plan(plan, node, done)) is not None}
    for attempts in runs.read_attempts(store, run_id).values():
        keys |= {(attempt.intent.plan.kind, attempt.intent.plan.key) for attempt in attempts}
    for node in plan.stages:
        keys |= {(i.artifact.kind, i.artifact.key) for i in node.inputs.values() if i.artifact is not None}
    return keys


def _inputs(plan: RunPlan) -> set[str]:
    """Digests of pushed inputs that a plan may read: of folders, and of every file."""
    externals = plan.facts.externals.values()
    return {e.digest for e in externals} | {file.sha256 for e in externals for file in e.files}


def _unneeded(entry: Entry, needed: set[str], limit: float) -> bool:
    digest = entry.key.removeprefix(names.INPUTS).partition(".")[0]
    return digest not in needed and entry.modified <= limit


def _leftovers(store: Store, kind: Kind, key: str, entries: list[Entry]) -> list[Entry]:
    """Below a committed stage: incarnations that did not win, and checkpoints. An unfinished stage keeps all that
    another attempt can go on from."""
    commit = stages.read_commit(store, kind, key)
    if commit is None:
        there = {entry.key for entry in entries}
        return [entry for entry in entries if retention.is_incomplete(kind, key, entry.key, there)]
    winner = names.incarnation_prefix(kind, key, commit.incarnation)
    kept = (f"{winner}{names.CONTENT}/", f"{winner}{names.INFO}/", f"{winner}{names.MANIFEST}")
    prefix = names.stage_prefix(kind, key)
    # claims stay: they are the fence that keeps incarnation numbers from being used twice
    plain = {f"{prefix}{names.COMMIT}", f"{prefix}{names.KEY_JSON}", f"{prefix}{names.LEASE}"}
    return [e for e in entries if not e.key.startswith(kept) and e.key not in plain and not e.key.endswith(names.CLAIM)]
