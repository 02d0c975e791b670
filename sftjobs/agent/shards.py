"""Tell node 0 which checkpoints are complete here, and upload this node's part of those that it orders."""

import queue
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sftjobs import names
from sftjobs.agent.group.peer import Peer
from sftjobs.agent.logs import Log
from sftjobs.artifact import checkpoints
from sftjobs.artifact.checkpoints import Place
from sftjobs.errors import SftError, StoreConfigError, StoreError

POLL_S = 0.2
FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 30.0


class _Superseded(Exception):  # noqa: N818 - not an error
    """Node 0 wants another step by now, or nothing any more."""


class ShardUploader:
    """Threads beside the ranks of a node other than node 0. What is older than the ordered step is deleted."""

    def __init__(self, place: Place, node: int, ranks: Sequence[int], folder: Path, log: Log, group: Peer) -> None:
        self._place = place
        self._node = node
        self._ranks = ranks
        self._folder = folder
        self._log = log
        self._group = group
        self._step: int | None = None
        self._done: int | None = None
        """The last step whose part is in the store."""
        self._telling = threading.Lock()
        self._told: list[int] = []
        self._aborted = threading.Event()
        threading.Thread(target=self._keep_telling, name="checkpoints-tell", daemon=True).start()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """Which checkpoints are complete here, if that has changed."""
        with self._telling:
            complete = checkpoints.complete_steps(self._folder, self._ranks)
            if complete != self._told:
                self._told = complete
                self._group.written(complete)

    def abort(self) -> None:
        """End the thread without waiting for what it uploads."""
        self._aborted.set()
        self._thread.join(5.0)

    def _keep_telling(self) -> None:
        """In a thread of its own: an upload may hang."""
        while not self._aborted.wait(POLL_S):
            with suppress(OSError):
                self.tell()

    def _work(self) -> None:
        while not self._aborted.is_set():
            try:
                step = self._step if self._step is not None else self._group.orders.get(timeout=POLL_S)
            except queue.Empty:
                continue
            self._step = None
            try:
                self._deliver(step)
            except _Superseded:
                continue
            self._group.saved(step)

    def _deliver(self, step: int) -> None:
        """Until it is in the store; raises _Superseded."""
        pause = FIRST_PAUSE_S
        self._tidy(step)
        while step != self._done:
            self._look(0)
            if step not in checkpoints.complete_steps(self._folder, self._ranks):
                self._give_up(step, "it is not complete here")
            folder = self._folder / names.step_folder(step)
            try:
                checkpoints.upload_part(self._place, folder, self._node, self._ranks, self._look)
                self._done = step
            except (StoreConfigError, OSError) as error:
                self._give_up(step, error)
            except StoreError as error:
                self._log.say(f"checkpoint of step {step}: will be tried again: {error}")
                self._aborted.wait(pause)
                pause = min(2 * pause, LAST_PAUSE_S)
            except SftError as error:
                self._give_up(step, error)

    def _give_up(self, step: int, error: Exception | str) -> None:
        self._log.say(f"checkpoint of step {step} is not stored: {error}")
        self._group.saved(step, str(error))
        raise _Superseded

    def _look(self, _count: int) -> None:
        """While something is uploaded or waited for."""
        if self._aborted.is_set():
            raise _Superseded
        try:
            self._step = self._group.orders.get_nowait()
        except queue.Empty:
            return
        raise _Superseded

    def _tidy(self, ordered: int) -> None:
        for path in self._folder.iterdir():
            step = checkpoints.step_of(path)
            if step is not None and step < ordered:
                shutil.rmtree(path, ignore_errors=True)
