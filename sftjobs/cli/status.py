"""`sftjobs status`."""

import time
from typing import TYPE_CHECKING

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT

if TYPE_CHECKING:
    from sftjobs.cli.status_view import Look
    from sftjobs.release.live import LiveView
    from sftjobs.store.base import Store

WATCH_S = 2.0


@click.command("status")
@click.argument("run")
@STORE
@click.option("--watch", is_flag=True, help="Show it again and again until the run has ended.")
@click.option("--namespace", metavar="NS", help="Ask the cluster, too: why pods wait, where the controller is.")
@click.option("--context", metavar="NAME", help="The same, in another context of the kubeconfig than the current one.")
@click.option("--stalled-after", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
              help="Without a heartbeat for so long a running stage is called stalled.")  # fmt: skip
@OUTPUT
def command(
    run: str,
    store_uri: str | None,
    watch: bool,
    namespace: str | None,
    context: str | None,
    stalled_after: float,
    form: str,
) -> None:
    """Show where RUN is, from the store alone: it needs neither the machine nor the cluster that runs it.

    `waiting`: its pods have not started, or another run works on the same stage; the reason is beside it, as it was
    when the controller last noted it. With --namespace the cluster itself is asked.

    `stalled`: no heartbeat for a minute, though one comes every 5 s. `interrupted`: nobody controls the run;
    `sftjobs resume` goes on with it, and in a cluster its controller is started again by itself.
    """
    from sftjobs.cli.context import find_store
    from sftjobs.cli.status_view import StatusView

    store = find_store(store_uri)
    live = _live_view(store, run, namespace, context) if namespace or context else None
    view = StatusView(form, watch)
    with view.shown():
        look = _look(store, run, live, stalled_after, patient=watch)
        view.show(look)
        while watch and _goes_on(look):
            time.sleep(WATCH_S)
            look = _look(store, run, live, stalled_after, patient=True, before=look)
            view.show(look)


def _live_view(store: "Store", run: str, namespace: str | None, context: str | None) -> "LiveView":
    """The cluster of the run. Raises SftError."""
    from sftjobs import runs
    from sftjobs.errors import DataError
    from sftjobs.release.install import connect
    from sftjobs.release.live import LiveView
    from sftjobs.release.owner import namespace_of

    name, home = run, None
    try:
        owner = runs.read_owner(store, runs.find_run(store, run))
        name, home = owner.run, namespace_of(owner)
    except DataError:
        pass  # just installed: it is in the cluster, and not in the store yet
    return LiveView(connect(context, namespace or home), name)


def _look(
    store: "Store",
    run: str,
    live: "LiveView | None",
    stalled_after: float,
    *,
    patient: bool,
    before: "Look | None" = None,
) -> "Look":
    """What is known now. `patient`: trouble is shown, not raised, as long as there is something to show."""
    from sftjobs import runs
    from sftjobs.cli.status_view import Look
    from sftjobs.controller.status import run_state
    from sftjobs.errors import DataError, SftError, StoreConfigError

    try:
        pod = live.controller() if live is not None else ""
        try:
            state = run_state(store, runs.find_run(store, run), stalled_after_s=stalled_after)
        except DataError as error:
            if live is None:
                raise
            if not patient or "has ended" in pod:
                raise DataError(f"{error}\ncontroller: {pod}") from error
            return Look(None, pod)  # the controller records it when it has read its inputs
        return Look(live.overlay(state) if live is not None else state, pod)
    except StoreConfigError:
        raise
    except SftError as error:
        if before is None or isinstance(error, DataError):
            raise
        return Look(before.state, before.controller_pod, str(error))


def _goes_on(look: "Look") -> bool:
    """A run of a cluster that nobody controls gets another controller by itself."""
    if look.state is None:
        return True
    going = (
        ("running", "pending", "interrupted") if look.state.owner.backend == "kubernetes" else ("running", "pending")
    )
    return look.state.state in going
