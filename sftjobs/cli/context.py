"""What most verbs begin with: a run.yaml that becomes a plan, or the name of a run in a store."""

import os
from dataclasses import dataclass
from pathlib import Path

import click

from sftjobs.cli.output import console
from sftjobs.plan.facts import resolve
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.spec.load import Loaded, load
from sftjobs.spec.run import RunSpec, StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.open import open_store

DEFAULT_FILE = "run.yaml"
DEFAULT_STORE = ".sftjobs"
LOCAL = "local"
"""Folder of this machine's scratch: caches, processes, reports; beside run.yaml in `.sftjobs/`."""

RUN_FILE = click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)
"""The run.yaml argument of a verb."""

STORE = click.option(
    "--store", "store_uri", envvar="SFTJOBS_STORE_URI", metavar="URI",
    help="Where the run is kept; default: the store of ./run.yaml, else ./.sftjobs.",
)  # fmt: skip
"""The option of verbs that take the name of a run."""


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


def find_store(uri: str | None) -> Store:
    """The store that a verb on an existing run works on."""
    here = Path.cwd()
    if uri is not None:
        return open_store(uri, here)
    if (here / DEFAULT_FILE).is_file():
        loaded = load(here / DEFAULT_FILE, check_files=False)
        return open_store(store_spec(loaded.spec), loaded.folder)
    if (here / DEFAULT_STORE).is_dir():
        return open_store(DEFAULT_STORE, here)
    message = f"no {DEFAULT_FILE} and no {DEFAULT_STORE}/ in {here}; give --store URI or set SFTJOBS_STORE_URI"
    raise click.UsageError(message)


def owner_name() -> str:
    """Who starts runs here: user and host, part of the run id."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
