"""The heartbeat: what the agent does and how far the program is, written every few seconds for people and status."""

import threading
import time
from contextlib import suppress
from typing import Literal

from sftjobs.agent.facts import Moments
from sftjobs.agent.progress import Progress
from sftjobs.attempts import Heartbeat
from sftjobs.canonical import readable
from sftjobs.errors import StoreError
from sftjobs.store.base import Store

EVERY_S = 5.0
State = Literal["fetching", "running", "saving", "uploading", "done"]


class Heart:
    """Beats in a thread of its own, and at once when the state changes."""

    def __init__(self, store: Store, key: str, progress: Progress, moments: Moments | None = None) -> None:
        self._store = store
        self._key = key
        self._progress = progress
        self._moments = moments or Moments()
        self._state: State = "fetching"
        self.incarnation: int | None = None
        self._message = ""
        self._notice = ""
        self._moved = 0
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)
        self._thread.start()

    def say(self, state: State, message: str = "") -> None:
        """Change the state; the next beat comes now."""
        self._state = state
        self._message = message
        self._moved = 0
        self._wake.set()

    def notice(self, message: str) -> None:
        """What people should know while nothing else happens; empty when it is over."""
        if bool(message) != bool(self._notice):
            self._wake.set()
        self._notice = message

    def beat(self) -> None:
        """Something has happened that must be known even if this process is killed in the next moment."""
        self._wake.set()

    def on_bytes(self, count: int) -> None:
        """Bytes that were read, fetched or uploaded in this state; from any thread, so a lost count now and then."""
        self._moved += count

    def close(self, message: str, timeout_s: float = 5.0) -> None:
        """The last beat."""
        self._closed = True
        self.say("done", message)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            closed = self._closed
            self._wake.clear()
            with suppress(StoreError):  # the work matters more than the news of it
                self._store.put(self._key, readable(self._beat().model_dump(mode="json")))
            if closed:
                return
            self._wake.wait(EVERY_S)

    def _transfer(self) -> str:
        moving = self._moved > 0 and self._state in ("fetching", "uploading")
        return f"{self._moved / 2**20:,.1f} MiB" if moving else ""

    def _beat(self) -> Heartbeat:
        progress = self._progress
        total = progress.number("total")
        return Heartbeat(
            t=time.time(),
            state=self._state,
            incarnation=self.incarnation,
            phase=str(progress.latest.get("phase", "")),
            step=progress.step,
            total=None if total is None else int(total),
            unit=str(progress.latest.get("unit", "")),
            loss=progress.number("loss"),
            tokens_per_s=progress.number("tokens_per_s"),
            eta_s=progress.eta_s(),
            program_s=self._moments.program_s,
            saved_s=self._moments.saved_s,
            message=self._message or self._notice or self._transfer() or str(progress.latest.get("message", "")),
        )
