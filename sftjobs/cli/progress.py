"""Progress of a run while its controller works: a live table on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.live import Live
from rich.table import Table

from sftjobs.attempts import Heartbeat
from sftjobs.backend.base import JobStatus
from sftjobs.cli.output import console, duration, table
from sftjobs.controller.decide import places_of
from sftjobs.controller.loop import Trouble
from sftjobs.controller.observed import Observed, StageView
from sftjobs.controller.status import read_heartbeat
from sftjobs.errors import StoreError
from sftjobs.plan.types import RunPlan
from sftjobs.store.base import Store

HEARTBEAT_EVERY_S = 1.0
WAITING_AFTER_S = 3.0
"""Pods that start within so many seconds have not kept anybody waiting."""
LINE_EVERY_S = 15.0
"""Without a terminal: seconds between lines about a stage that goes on."""


class RunProgress:
    """Context manager; give `on_tick` and `on_trouble` to the controller."""

    def __init__(self, store: Store, plan: RunPlan, run_id: str) -> None:
        self._store = store
        self._plan = plan
        self._run_id = run_id
        self._console = console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._is_live = self._console.is_terminal
        self._said: dict[str, str] = {}
        self._said_at: dict[str, float] = {}
        self._detail: dict[str, str] = {}
        self._summaries: dict[str, str] = {}
        self._pending_since: dict[str, float] = {}
        self._heartbeats: dict[tuple[str, int], Heartbeat | None] = {}
        self._read_at = 0.0
        self._began: dict[str, float] = {}
        self._attempt_began: dict[tuple[str, int], float] = {}

    def __enter__(self) -> "RunProgress":
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line above the live table."""
        self._console.print(text)

    def on_trouble(self, trouble: Trouble | None) -> None:
        """Store or backend do not answer, or do again."""
        if trouble is None:
            self.say("store and backend answer again")
        else:
            self.say(f"waiting: {trouble.message} (next try in {trouble.retry_in_s:.0f} s)")

    def on_tick(self, seen: Observed) -> None:
        """Show what the controller knows."""
        self._read_heartbeats(seen)
        rows = [(name, *self._row(name, seen)) for name in seen.stages]
        if self._is_live:
            self._live.update(_table(rows))
        self._lines(rows, seen)

    def _lines(self, rows: list[tuple[str, str, str]], seen: Observed) -> None:
        """What stays: the numbers of a stage when it begins, its end; without a terminal also how it goes on."""
        now = time.monotonic()
        for name, state, detail in rows:
            changed = self._said.get(name) != state
            lasting = state in ("done", "cached") or (not self._is_live and state != "pending")
            news = state == "running" or (state == "waiting" and detail != self._detail.get(name))
            due = news and now - self._said_at.get(name, now) >= LINE_EVERY_S and not self._is_live
            if (changed and lasting) or due:
                self.say(f"  {name:14} {state:8} {detail}".rstrip())
                self._said_at[name], self._detail[name] = now, detail
            summary = _summary(seen.stages[name])
            if state == "running" and summary and self._summaries.get(name) != summary:
                self.say(f"  {name:14} {summary}")
                self._summaries[name] = summary
            self._said[name] = state

    def _read_heartbeats(self, seen: Observed) -> None:
        if time.monotonic() - self._read_at < HEARTBEAT_EVERY_S:
            return
        self._read_at = time.monotonic()
        for name, view in seen.stages.items():
            if view.open is None or view.committed:
                continue
            try:
                beat = read_heartbeat(self._store, self._run_id, name, view.open.number)
            except StoreError:
                continue  # the controller says so if it lasts
            self._heartbeats[name, view.open.number] = beat

    def _row(self, name: str, seen: Observed) -> tuple[str, str]:
        view = seen.stages[name]
        if view.committed:
            if name in seen.session.committed:
                return "cached", ""
            began = self._began.get(name)
            return "done", f"in {duration(time.monotonic() - began)}" if began is not None else ""
        if view.open is not None:
            number, now = view.open.number, time.monotonic()
            self._began.setdefault(name, now)
            beat = self._heartbeats.get((name, number))
            attempt = f"attempt {number}, " if number > seen.session.attempts.get(name, 0) else ""
            since = duration(now - self._attempt_began.setdefault((name, number), now))
            why = self._why_waiting(name, seen.jobs.get((name, number)))
            if why:
                return "waiting", attempt + why
            return "running", attempt + (describe(beat, since) if beat is not None else "starting")
        place = places_of(self._plan, seen)[name]
        if place.kind == "failed":
            return "failed", _first_line(place.message)
        if place.kind in ("busy", "backoff"):
            return "waiting", _first_line(place.message)
        return "pending", ""

    def _why_waiting(self, name: str, job: JobStatus | None) -> str:
        """Why its pods are not there; empty if they are, or have been asked for a moment ago."""
        if job is None or job.phase != "pending":
            self._pending_since.pop(name, None)
            return ""
        since = self._pending_since.setdefault(name, time.monotonic())
        return _first_line(job.detail) if time.monotonic() - since >= WAITING_AFTER_S else ""


def _first_line(message: str) -> str:
    """The rest is in what the run says at its end, and in the log."""
    return message.partition("\n")[0]


def _summary(view: StageView) -> str:
    return view.plan.summary if view.plan is not None else ""


def describe(beat: Heartbeat, since: str) -> str:
    """`train 34/49 steps, loss 0.213, 1,250 tokens/s, 1 min 10 s to go`; before the first step `loading, for 8 s`.

    At the end `saving: asked to stop`, `uploading: 12.0 MiB`; `since` is the time of the whole attempt.
    """
    if beat.state not in ("fetching", "running"):
        return f"{beat.state}: {beat.message}" if beat.message else beat.state
    if beat.state == "fetching" or beat.step is None:
        what = beat.phase or beat.message or ("loading" if beat.state == "running" else beat.state)
        return f"{what}, for {since}"
    parts = [f"{beat.phase} {beat.step:,}" + (f"/{beat.total:,}" if beat.total else "") + f" {beat.unit}"]
    if beat.loss is not None:
        parts.append(f"loss {beat.loss:.3f}")
    if beat.tokens_per_s is not None:
        parts.append(f"{beat.tokens_per_s:,.0f} tokens/s")
    if beat.eta_s is not None:
        parts.append(f"{duration(beat.eta_s)} to go")
    return ", ".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> Table:
    shown = table("stage", "state", "")
    colours = {"done": "green", "cached": "green", "running": "cyan", "failed": "red", "waiting": "yellow"}
    for name, state, detail in rows:
        shown.add_row(name, state, detail, style=colours.get(state, "dim"))
    return shown
