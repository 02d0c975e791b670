"""What most verbs begin with: a run.yaml that becomes a plan, or the name of a run in a store."""

import os
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from sftjobs.cli.output import console
from sftjobs.controller.status import controller_of
from sftjobs.errors import BusyError, Problem, SpecError
from sftjobs.plan.facts import resolve
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.runs import Owner, list_runs
from sftjobs.spec.load import Loaded, load
from sftjobs.spec.run import RunSpec, StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.open import open_store

DEFAULT_FILE = "run.yaml"
DEFAULT_STORE = ".sftjobs"
LOCAL = "local"
"""Folder of this machine's scratch: caches, processes, reports; beside run.yaml in `.sftjobs/`."""


@dataclass(frozen=True)
class Planned:
    """A run.yaml with everything that follows from it."""

    loaded: Loaded
    store: Store
    plan: RunPlan

    @property
    def spec(self) -> RunSpec:
        return self.loaded.spec

    @property
    def local(self) -> Path:
        return local_folder(self.loaded.folder)


def local_folder(folder: Path) -> Path:
    """Scratch of this machine for runs whose run.yaml is in `folder`."""
    return folder / DEFAULT_STORE / LOCAL


def store_spec(spec: RunSpec) -> StoreSpec:
    """The store of a loaded spec."""
    assert isinstance(spec.store, StoreSpec)
    return spec.store


def plan_file(path: Path) -> Planned:
    """Load, resolve and plan. Raises SpecError, DataError, StoreError."""
    loaded = load(path)
    store = open_store(store_spec(loaded.spec), loaded.folder)
    return plan_loaded(loaded, store)


def plan_loaded(loaded: Loaded, store: Store) -> Planned:
    """Resolve and plan a loaded spec; hashing of large inputs shows progress on a terminal."""
    cache = local_folder(loaded.folder) / "digests.json"
    with console(stderr=True).status("reading inputs"):
        facts = resolve(loaded.spec, loaded.folder, store, cache)
    return Planned(loaded, store, make(loaded.spec, facts))


def stored_store_spec(spec_text: bytes, store: Store) -> StoreSpec:
    """How agents open the store of a recorded run: credentials as its run.yaml names them, the place as known here."""
    raw = yaml.safe_load(spec_text).get("store")
    if isinstance(raw, dict) and store.uri.startswith("s3://"):
        return StoreSpec.model_validate({**raw, "uri": store.uri})
    return StoreSpec(uri=store.uri)


def find_store(uri: str | None) -> Store:
    """The store that a verb on an existing run works on."""
    here = Path.cwd()
    if uri is not None:
        return open_store(uri, here)
    if (here / DEFAULT_FILE).is_file():
        return open_store(_store_named_in(here / DEFAULT_FILE), here)
    if (here / DEFAULT_STORE).is_dir():
        return open_store(DEFAULT_STORE, here)
    message = f"no {DEFAULT_FILE} and no {DEFAULT_STORE}/ in {here}; give --store URI or set SFTJOBS_STORE_URI"
    raise click.UsageError(message)


def _store_named_in(file: Path) -> StoreSpec:
    """The store of a run.yaml; what else is wrong with the file does not matter to somebody who asks for a status."""
    try:
        return store_spec(load(file, check_files=False).spec)
    except SpecError as error:
        store = _store_alone(file)
        if store is None:
            raise error
        return store


def _store_alone(file: Path) -> StoreSpec | None:
    """`store` of a run.yaml that cannot be loaded as a whole, None if it cannot be read either."""
    try:
        raw = yaml.safe_load(file.read_bytes())
        named = raw.get("store", DEFAULT_STORE)
        return StoreSpec(uri=named) if isinstance(named, str) else StoreSpec.model_validate(named)
    except (OSError, UnicodeError, AttributeError, ValueError, yaml.YAMLError):
        return None


def owner(name: str, backend: str, file: Path, now: float) -> Owner:
    """Who starts a run here: the same person on the same host who asks again goes on with the same run."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Owner(
        user=user, host=socket.gethostname(), backend=backend, run=name, spec_path=str(file.absolute()), created=now
    )


def refuse_second_run(store: Store, name: str, run_id: str) -> None:
    """Two runs of one name at the same time are a mistake: nobody could tell them apart. Raises BusyError."""
    for record in list_runs(store):
        if record.name != name or record.run_id == run_id:
            continue
        holder = controller_of(store, record.run_id)
        if holder is not None:
            way_out = f"wait for it, `sftjobs cancel {record.run_id}`, or give this run another name"
            raise BusyError(
                f"a run named {name!r} with another plan is going on ({record.run_id}, {holder}); {way_out}"
            )


def refuse_nodes_sharing_gpus(loaded: Loaded) -> None:
    """On one machine the agents of all nodes would take the same GPUs. Raises SpecError."""
    path = "resources.train.nodes"
    wanted = loaded.spec.resources.train
    if wanted.nodes > 1 and wanted.gpus_per_node:
        line = loaded.lines.of(path)
        message = (
            f"{wanted.nodes} nodes with GPUs need several machines, and --backend process has one; "
            "write 1, or use --backend kubernetes"
        )
        raise SpecError([Problem(str(loaded.path), line, path, message)])
