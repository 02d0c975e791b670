"""How `sftjobs status` looks: once, again and again in place on a terminal, or as lines where something has changed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live

from sftjobs.cli.output import console, duration, show_json, table
from sftjobs.cli.progress import describe
from sftjobs.controller.status import RunState, StageState


@dataclass(frozen=True)
class Look:
    """What is known at one moment."""

    state: RunState | None
    """None if the run is not in the store yet."""
    controller_pod: str = ""
    """Where the controller's pod is; empty if the cluster was not asked."""
    trouble: str = ""
    """What could not be asked."""


class StatusView:
    """Shows looks, one after another."""

    def __init__(self, form: str, watch: bool) -> None:
        self._form = form
        self._console = console()
        self._live = Live(console=self._console, auto_refresh=False) if watch and form == "text" else None
        if not self._console.is_terminal:
            self._live = None
        self._last: object = None

    @contextmanager
    def shown(self) -> Iterator["StatusView"]:
        """While something may be shown."""
        with self._live or nullcontext():
            yield self

    def show(self, look: Look) -> None:
        if self._form == "json":
            if look.state is not None:
                pod = {"controller_pod": look.controller_pod} if look.controller_pod else {}
                show_json({**look.state.model_dump(mode="json"), **pod})
            return
        if self._live is not None:
            self._live.update(Group(*_rendered(look)), refresh=True)
        elif _told(look) != self._last:
            for part in _rendered(look):
                self._console.print(part)
        self._last = _told(look)


def _rendered(look: Look) -> list[RenderableType]:
    lines: list[RenderableType] = []
    state = look.state
    if state is None:
        lines.append("the run is not in the store yet")
    else:
        by = f", controlled by {state.controller}" if state.controller else ""
        alone = state.state == "interrupted" and state.owner.backend == "process"
        way_on = f"; its controller is gone, `sftjobs resume {state.run_id}` goes on with it" if alone else ""
        lines.append(f"run {state.run_id}: {state.state}{by}{way_on}")
    if look.controller_pod:
        lines.append(f"controller: {look.controller_pod}")
    if look.trouble:
        lines.append(f"no answer: {look.trouble}")
    if state is not None:
        shown = table("stage", "state", "attempts", "time", "", right=("attempts", "time"))
        for stage in state.stages:
            shown.add_row(stage.name, stage.state, str(stage.attempts), _spent(stage), _detail(stage))
        lines.append(shown)
        if state.verdict is not None and state.verdict.message:
            lines.append(f"{state.verdict.outcome}: {state.verdict.message}")
    return lines


def _told(look: Look) -> object:
    """What a person wants to hear about once: everything but the seconds that pass."""
    state = look.state
    if state is None:
        return look.controller_pod, look.trouble
    stages = tuple(
        (stage.state, stage.attempts, stage.heartbeat, stage.message if stage.state != "stalled" else "")
        for stage in state.stages
    )
    return state.state, state.controller, look.controller_pod, look.trouble, stages


def _spent(stage: StageState) -> str:
    ended = stage.finished or (time.time() if stage.started else None)
    return duration(ended - stage.started) if ended and stage.started else ""


def _detail(stage: StageState) -> str:
    if stage.heartbeat is None or stage.state != "running":
        return stage.message.partition("\n")[0]
    began = stage.attempt_started
    return describe(stage.heartbeat, duration(time.time() - began if began else 0.0)).partition("\n")[0]
