"""`sftjobs pull`."""

from pathlib import Path

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, size, tell

WHAT = ["model", "adapter", "ledger", "review", "bad-cases", "predictions"]


@click.command("pull")
@click.argument("run")
@click.argument("what", type=click.Choice(WHAT))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--stage", metavar="STAGE", help="Of this training or evaluation instead of the tuned model's, e.g. train-sep-1."
)
@STORE
@OUTPUT
def command(run: str, what: str, folder: Path, stage: str | None, store_uri: str | None, form: str) -> None:
    """Download a result of RUN into FOLDER, verified by SHA-256.

    Cut off in the middle, the same command goes on: files that are there and right are kept. Nothing that is there with
    another content is replaced.

    \b
    Example:
      sftjobs pull intent model ./intent-model
      sftjobs pull intent model ./chat-model --stage train-sep-2
    """
    from sftjobs import runs
    from sftjobs.cli.context import find_store
    from sftjobs.cli.transfer import transfer_bar
    from sftjobs.plan.committed import done_in
    from sftjobs.pull import pull, result_of, select

    store = find_store(store_uri)
    found = done_in(store, runs.find_run(store, run))
    result = result_of(what, stage)
    done = found.get(result.stage)
    total = sum(entry.size for entry in select(done.manifest.content, result.path)) if done else 0
    with transfer_bar(f"pull {what}", total) as on_bytes:
        entries = pull(found, store, what, folder, on_bytes, stage)
    line = f"{len(entries)} files, {size(sum(e.size for e in entries))}, verified: {folder}"
    tell(form, [line], {"folder": str(folder), "files": [entry.model_dump() for entry in entries]})
