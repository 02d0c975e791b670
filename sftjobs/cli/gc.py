"""`sftjobs gc`."""

import click

from sftjobs.cli.output import OUTPUT, console, show_json, size, table

DAY_S = 86_400


@click.command("gc")
@click.option("--store", "store_uri", envvar="SFTJOBS_STORE_URI", metavar="URI", help="The store to clean.")
@click.option("--drop", "drop", multiple=True, metavar="RUN", help="Give up this run: its results may be deleted.")
@click.option("--drop-older-than", "days", type=float, help="Give up runs that began more than so many days ago.")
@click.option("--grace", type=float, default=24.0, show_default=True, help="Hours: what is younger stays.")
@click.option("--delete", "really", is_flag=True, help="Really delete; without it only says what would go.")
@OUTPUT
def command(
    store_uri: str | None, drop: tuple[str, ...], days: float | None, grace: float, really: bool, form: str
) -> None:
    """Delete what no run needs any more: dropped runs, unfinished rests of finished stages, unnamed inputs.

    A result that any kept run leads to stays. Without --delete nothing is changed.
    """
    import time

    from sftjobs import gc, runs
    from sftjobs.cli.context import find_store

    store = find_store(store_uri)
    dropped = {runs.find_run(store, run) for run in drop}
    if days is not None:
        limit = time.time() - days * DAY_S
        old = [run.run_id for run in runs.list_runs(store) if run.owner.created < limit]
        dropped |= {run_id for run_id in old if gc.controller_of(store, run_id) is None}  # a long run goes on
    sweep = gc.find(store, dropped, grace * 3600)
    if really:
        with console(stderr=True).status(f"deleting {sweep.objects} objects"):
            for _ in gc.delete(store, sweep):
                pass
            store.remove_leftovers(grace * 3600)  # of interrupted writes, which no listing shows
    if form == "json":
        found = {reason: [e.key for e in entries] for reason, entries in sweep.found.items()}
        show_json({"deleted": really, "objects": sweep.objects, "bytes": sweep.size, "found": found})
        return
    shown = table("what", "objects", "size", right=("objects", "size"))
    for reason, entries in sweep.found.items():
        shown.add_row(reason, f"{len(entries):,}", size(sum(e.size for e in entries)))
    out = console()
    if not sweep.found:
        younger = f"; what is younger than {grace:g} hours stays (--grace)" if grace else ""
        out.print(f"nothing to delete{younger}")
        return
    out.print(shown)
    total = f"{sweep.objects:,} objects, {size(sweep.size)}"
    out.print(f"deleted {total}" if really else f"would delete {total}; add --delete to do it")
