"""`sftjobs logs`."""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from sftjobs import names
from sftjobs.cli.options import STORE

if TYPE_CHECKING:
    from sftjobs.runs import Attempt
    from sftjobs.store.base import Store

POLL_S = 1.0
WAIT_S = 3.0
"""Seconds between two looks at why nothing comes."""


@click.command("logs")
@click.argument("run")
@click.argument("stage")
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt has ended.")
@click.option("--attempt", type=int, help="Number of the attempt, from 0; default the newest.")
@click.option("--node", type=int, default=0, show_default=True, help="Node of the stage.")
@STORE
def command(run: str, stage: str, follow: bool, attempt: int | None, node: int, store_uri: str | None) -> None:
    """Print the log of a STAGE of RUN, as far as it is in the store (a few seconds behind).

    \b
    Example:
      sftjobs logs -f intent train
    """
    from sftjobs import runs
    from sftjobs.cli.context import find_store
    from sftjobs.errors import DataError

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)
    known = [s.name for s in runs.read_plan(store, run_id).stages]
    if stage not in known:
        raise click.UsageError(f"no stage {stage!r} in run {run_id}; stages: {', '.join(known)}")
    attempts = runs.read_attempts(store, run_id).get(stage, [])
    if not attempts and follow:
        attempts = _begun(store, run_id, stage)
    if not attempts:
        raise DataError(f"stage {stage} of run {run_id} has not been started (a cached stage has no log in this run)")
    number = attempts[-1].number if attempt is None else attempt
    if number not in {a.number for a in attempts}:
        raise click.UsageError(f"stage {stage} has attempts 0 to {attempts[-1].number}, not {number}")
    for chunk in _chunks(store, run_id, stage, number, node, follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()


class _Patience:
    """Says on standard error what a stage waits for: its inputs, a node, its image, a place in the queue."""

    def __init__(self, store: "Store", run_id: str, stage: str) -> None:
        self._store = store
        self._run_id = run_id
        self._stage = stage
        self._said = ""

    def look(self) -> bool:
        """False once nothing will come: the run has ended, or its artifact was there already."""
        from sftjobs.controller.status import run_state

        state = run_state(self._store, self._run_id)
        here = next(item for item in state.stages if item.name == self._stage)
        if state.verdict is not None or here.state in ("succeeded", "skipped"):
            return False
        why = f"{here.state}: {here.message}".removesuffix(": ")
        if here.state != "running" and why != self._said:
            print(f"stage {self._stage} is {why}", file=sys.stderr, flush=True)
            self._said = why
        return True


def _begun(store: "Store", run_id: str, stage: str) -> "list[Attempt]":
    """The attempts of a stage once there is one; none if the run ends without it."""
    from sftjobs import runs

    patience = _Patience(store, run_id, stage)
    while True:
        goes_on = patience.look()
        attempts = runs.read_attempts(store, run_id).get(stage, [])
        if attempts or not goes_on:
            return attempts
        time.sleep(WAIT_S)


def _chunks(store: "Store", run_id: str, stage: str, attempt: int, node: int, follow: bool) -> Iterator[bytes]:
    """Log chunks in order; with `follow` until the attempt has a result and nothing new came after it."""
    prefix = names.log_prefix(run_id, stage, attempt, node)
    patience = _Patience(store, run_id, stage)
    last, looked = "", time.monotonic()
    while True:
        ended = not follow or _has_result(store, run_id, stage, attempt)
        for entry in store.list(prefix):
            if entry.key > last:
                yield store.get(entry.key).body
                last = entry.key
        if ended:
            return
        if not last and time.monotonic() - looked > WAIT_S:
            patience.look()
            looked = time.monotonic()
        time.sleep(POLL_S)


def _has_result(store: "Store", run_id: str, stage: str, attempt: int) -> bool:
    key = names.result(run_id, stage, attempt)
    return any(entry.key == key for entry in store.list(key))
