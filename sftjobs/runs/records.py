"""Run records: run.yaml, plan.json and OWNER. OWNER is written last, so a run exists whole or not at all."""

import difflib
from dataclasses import dataclass

from sftjobs import names
from sftjobs.canonical import digest, readable
from sftjobs.errors import AlreadyExistsError, DataError, NotFoundError
from sftjobs.model import Document
from sftjobs.plan.types import RunPlan
from sftjobs.store import keys
from sftjobs.store.base import Store


class Owner(Document):
    """Who asked for a run, and where its stages are executed."""

    user: str
    host: str
    backend: str
    run: str
    """Name of the run."""
    spec_path: str = ""
    """Where run.yaml was; for people, not part of the run id."""
    created: float
    """Unix time; not part of the run id."""


@dataclass(frozen=True)
class RunRecord:
    """One run of a store."""

    run_id: str
    owner: Owner

    @property
    def name(self) -> str:
        return self.owner.run


def run_id_of(plan: RunPlan, owner: Owner) -> str:
    """`<name>-<10 hex>`: the same plan of the same owner is the same run, so asking again goes on with it."""
    identity = owner.model_dump(mode="json", exclude={"created", "spec_path"})
    return f"{plan.name}-{digest([plan.model_dump(mode='json'), identity])[:10]}"


def create_run(store: Store, plan: RunPlan, spec_text: bytes, owner: Owner) -> str:
    """Record a run and return its id; if it is recorded already, its first run.yaml and owner stay."""
    run_id = run_id_of(plan, owner)
    prefix = names.run_prefix(run_id)
    _create_first(store, prefix + names.PLAN_JSON, readable(plan.model_dump(mode="json")))
    _create_first(store, prefix + names.RUN_YAML, spec_text)
    _create_first(store, prefix + names.OWNER, readable(owner.model_dump(mode="json")))
    return run_id


def list_runs(store: Store) -> list[RunRecord]:
    """Every run of the store, oldest first."""
    found = [RunRecord(run_id, owner) for run_id in store.list_folders(names.RUNS) if (owner := _owner(store, run_id))]
    return sorted(found, key=lambda record: (record.owner.created, record.run_id))


def find_run(store: Store, name_or_id: str) -> str:
    """The run with this id, or the newest run of this name. Raises DataError that lists what there is."""
    if keys.why_not(name_or_id) is None and _owner(store, name_or_id):
        return name_or_id
    runs = list_runs(store)
    named = [record.run_id for record in runs if record.name == name_or_id]
    if named:
        return named[-1]
    if not runs:
        raise DataError(f"no run {name_or_id!r}: there is no run in {store.uri} yet; start one with `sftjobs run`")
    known = sorted({record.name for record in runs}) + [record.run_id for record in runs]
    near = difflib.get_close_matches(name_or_id, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    shown = ", ".join(record.run_id for record in reversed(runs[-10:]))
    raise DataError(f"no run {name_or_id!r} in {store.uri}{hint} Newest runs: {shown} (`sftjobs ls` lists all)")


def read_plan(store: Store, run_id: str) -> RunPlan:
    """The plan of a run. Raises NotFoundError."""
    return RunPlan.model_validate_json(store.get(names.run_prefix(run_id) + names.PLAN_JSON).body)


def read_owner(store: Store, run_id: str) -> Owner:
    """Who started the run. Raises NotFoundError."""
    return Owner.model_validate_json(store.get(names.run_prefix(run_id) + names.OWNER).body)


def read_spec_text(store: Store, run_id: str) -> bytes:
    """run.yaml as it was given. Raises NotFoundError."""
    return store.get(names.run_prefix(run_id) + names.RUN_YAML).body


def _owner(store: Store, run_id: str) -> Owner | None:
    try:
        return read_owner(store, run_id)
    except NotFoundError:
        return None  # a crash before the last of its three files: not a run yet


def _create_first(store: Store, key: str, body: bytes) -> None:
    """Create; what is there already stays."""
    try:
        store.create(key, body)
    except AlreadyExistsError:
        return
