"""`sftjobs why`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, console, show_json

if TYPE_CHECKING:
    from sftjobs.plan.committed import Done
    from sftjobs.plan.types import RunPlan
    from sftjobs.store.base import Store


@click.command("why")
@click.argument("run")
@click.argument("id_", metavar="[ID]", required=False)
@STORE
@OUTPUT
def command(run: str, id_: str | None, store_uri: str | None, form: str) -> None:
    """Say what became of one record of RUN: where it came from, which rules looked at it, what they said.

    ID is an example's id, its first 6 or more digits, your own id, or FILE:LINE. Without ID: how many records each
    rule dropped or marked, with some ids to ask on with.

    \b
    Examples:
      sftjobs why intent
      sftjobs why intent 3f9a1c
      sftjobs why intent train.jsonl:17
    """
    import tempfile

    from sftjobs import runs
    from sftjobs.cli.context import find_store
    from sftjobs.cli.why_texts import add_texts
    from sftjobs.cli.why_view import show_funnel, show_story
    from sftjobs.errors import DataError
    from sftjobs.plan.committed import done_in

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)
    plan = runs.read_plan(store, run_id)
    done = done_in(store, run_id).get("data")
    if done is None:
        raise DataError(f"{run}: stage data is not done yet, so there is no ledger; `sftjobs status {run}` says more")
    reading = console(stderr=True).status("reading the ledger")
    with reading, tempfile.TemporaryDirectory(prefix="sftjobs-why-") as folder:
        answer = _ask(plan, done, store, id_, Path(folder))
        if id_ is not None:
            add_texts(answer, plan, done, store, Path(folder), ask_program)
    if form == "json":
        show_json(answer)
    elif id_ is None:
        show_funnel(answer, run, console())
    else:
        show_story(answer, console())


def _ask(plan: "RunPlan", done: "Done", store: "Store", id_: str | None, folder: Path) -> dict[str, Any]:
    """Fetch the ledger, and let the data stage's code look into it."""
    from sftjobs.cli.why_store import content_prefix, fetch
    from sftjobs.errors import DataError

    ledger = fetch(done, store, "ledger.parquet", folder)
    if ledger is None:
        raise DataError(f"{content_prefix(done)}: the artifact has no ledger.parquet")
    train = next((stage for stage in plan.stages if stage.name == "train"), None)
    config = {} if train is None else train.config
    return ask_program(
        {
            "ledger": str(ledger),
            "ask": id_,
            "names": names_of(plan),
            "config": plan.stage("data").config,
            "mixture": config.get("mixture"),
            "seed": config.get("seed", 0),
        }
    )


def names_of(plan: "RunPlan") -> dict[str, list[str]]:
    """Digest of each source of the data stage -> what a person may call it."""
    found: dict[str, list[str]] = {}
    for name, one in plan.stage("data").inputs.items():
        if name != "model" and one.external is not None:
            external = plan.facts.externals[one.external]
            found.setdefault(external.digest, [external.source]).append(name)
    return found


def ask_program(request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `python -m jobs.data.why`. Raises DataError with what it says about a mistake of the question."""
    import json
    import subprocess
    import sys
    import tempfile

    from sftjobs.errors import DataError, SftError
    from sftjobs.names import Exit

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request), "utf-8")
        command = [sys.executable, "-m", "jobs.data.why", "--request", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == Exit.BAD_CONFIG:
        raise DataError(done.stderr.strip())
    if done.returncode != 0:
        raise SftError(f"looking into the ledger failed:\n{done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
