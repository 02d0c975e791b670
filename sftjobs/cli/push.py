"""`sftjobs push`."""

from pathlib import Path

import click

from sftjobs.cli.options import RUN_FILE
from sftjobs.cli.output import OUTPUT, console, size, tell


@click.command("push")
@RUN_FILE
@click.option("--to", "target", type=click.Path(path_type=Path), help="Where to write; default <file>.pushed.yaml.")
@OUTPUT
def command(file: Path, target: Path | None, form: str) -> None:
    """Upload local inputs to the store and write a self-contained run.yaml with the same stage keys.

    What the store has already is not sent again.
    """
    from sftjobs.cli.context import plan_file
    from sftjobs.cli.transfer import transfer_bar
    from sftjobs.push import push_inputs, pushed_spec
    from sftjobs.store.probe import probe

    planned = plan_file(file)
    probe(planned.store)
    total = sum(entry.size for external in planned.plan.facts.externals.values() for entry in external.files)
    say = console(stderr=True).print
    with transfer_bar("push", total) as on_bytes:
        uris = push_inputs(planned.spec, planned.plan.facts, planned.store, on_bytes, say=say)
    written = target or file.with_suffix(".pushed.yaml")
    written.write_bytes(pushed_spec(planned.spec, uris, planned.store))
    lines = [f"{len(uris)} inputs, {size(total)}, are in {planned.store.uri}", f"written: {written}"]
    tell(form, lines, {"inputs": uris, "bytes": total, "store": planned.store.uri, "written": str(written)})
