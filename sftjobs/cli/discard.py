"""`sftjobs discard`."""

import sys
from typing import TYPE_CHECKING

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, console, tell

if TYPE_CHECKING:
    from sftjobs.plan.types import Kind
    from sftjobs.store.base import Store


@click.command("discard")
@click.argument("run")
@click.argument("stage")
@STORE
@click.option("--yes", is_flag=True, help="Do not ask.")
@OUTPUT
def command(run: str, stage: str, store_uri: str | None, yes: bool, form: str) -> None:
    """Delete the result of one STAGE of RUN, and its checkpoints, so that it is made again.

    Every run that shares the result loses it. This is the way out when a file of an artifact is damaged.
    """
    from sftjobs import runs
    from sftjobs.artifact import stages
    from sftjobs.cli.context import find_store

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)
    kind, key = stage_key(store, run_id, stage)
    if not yes and not _agreed(f"delete the result of {stage} ({kind}/{key[:12]}) from {store.uri}?"):
        console(stderr=True).print("nothing was deleted")
        sys.exit(130)
    objects = stages.discard(store, kind, key)
    line = f"discarded {stage} of {run_id}; `sftjobs resume {run_id}` makes it again"
    tell(form, [line], {"run_id": run_id, "stage": stage, "key": key, "objects": objects})


def stage_key(store: "Store", run_id: str, stage: str) -> "tuple[Kind, str]":
    """Kind and stage key of a stage of a run. Raises UsageError, DataError if it has none yet."""
    from sftjobs.controller.status import run_state
    from sftjobs.errors import DataError

    states = {state.name: state for state in run_state(store, run_id).stages}
    if stage not in states:
        raise click.UsageError(f"no stage {stage!r} in run {run_id}; stages: {', '.join(states)}")
    kind, key = states[stage].kind, states[stage].key
    if key is None:
        raise DataError(f"stage {stage} of run {run_id} was never started, its inputs are missing: nothing to discard")
    return kind, key


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("nothing was deleted: there is no terminal to ask on; give --yes")
    return click.confirm(question)
