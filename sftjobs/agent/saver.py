"""Upload checkpoints while the program goes on. One at a time, the newest first: what is superseded is dropped.

With several nodes it is node 0 that says which step is next, so that all of them bring parts of the same one: the
newest that is complete on all.
"""

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sftjobs import names
from sftjobs.agent.group.base import GroupEnded
from sftjobs.agent.group.leader import Leader
from sftjobs.agent.logs import Log
from sftjobs.artifact import checkpoints, retention
from sftjobs.artifact.checkpoints import Place
from sftjobs.errors import SftError, StoreConfigError, StoreError
from sftjobs.plan.types import Operation, Resources

POLL_S = 0.2
FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 30.0
TIDY_S = 1.0


class _Aborted(Exception):  # noqa: N818 - not an error
    """Nobody needs the upload any more."""


class Saver:
    """A thread that looks at the local folder of checkpoints. The program never waits for it."""

    def __init__(
        self,
        place: Place,
        resources: Resources,
        operation: Operation,
        folder: Path,
        newest: int | None,
        log: Log,
        group: Leader,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._place = place
        self._resources = resources
        self._operation = operation
        self._ranks = resources.ranks_of(0)
        self._folder = folder
        self._log = log
        self._group = group
        self._on_commit = on_commit
        self.newest = newest
        """Step of the newest committed checkpoint of the stage key that this attempt knows of."""
        self._looking = threading.Lock()
        """What is on the disk, and which of it is being uploaded."""
        self._uploading: int | None = None
        self._refused: set[int] = set()
        self._last = threading.Event()
        self._aborted = threading.Event()
        threading.Thread(target=self._keep_tidy, name="checkpoints-tidy", daemon=True).start()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    @property
    def unsaved(self) -> int | None:
        """The newest step that the ranks here have written, if it is not in the store."""
        here = checkpoints.complete_steps(self._folder, self._ranks)
        return here[0] if here and not self._committed(here[0]) else None

    def finish(self, timeout_s: float, late_s: float = 0.0) -> None:
        """The program has ended here: upload its newest complete checkpoint, for at most `timeout_s` seconds.

        `late_s`: ranks of other nodes that still run may take so long to write their parts of it.
        """
        deadline = time.monotonic() + timeout_s
        step = self.unsaved
        if step is not None:
            self._group.wait_for_parts(step, min(late_s, timeout_s))
        self._last.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self.abort()

    def abort(self) -> None:
        """End the thread without waiting for what it uploads."""
        self._aborted.set()
        self._last.set()
        self._thread.join(5.0)

    def _work(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._aborted.is_set():
            last = self._last.is_set()
            step = self._due()
            if step is None:
                if last:
                    return
                self._last.wait(POLL_S)
                continue
            if self._save(step):
                pause = FIRST_PAUSE_S
            else:
                self._aborted.wait(pause)
                pause = min(2 * pause, LAST_PAUSE_S)

    def _due(self) -> int | None:
        """The newest complete checkpoint, if it is not committed yet; from now on it is the one that is uploaded."""
        with self._looking:
            step = self._tidy()
            self._uploading = None if step is None or self._committed(step) else step
            return self._uploading

    def _committed(self, step: int) -> bool:
        """This one or a newer one."""
        return self.newest is not None and step <= self.newest

    def _keep_tidy(self) -> None:
        """In a thread of its own: an upload that hangs must not let the program fill the disk."""
        while not self._aborted.wait(TIDY_S):
            with self._looking, suppress(OSError):  # a full disk: the program says so
                self._tidy()

    def _tidy(self) -> int | None:
        """The disk is sized for two checkpoints: the one that is being uploaded and the newest.

        While both are there, the program is asked not to save by the clock: it would only be superseded. Nothing is
        superseded by a checkpoint that another node does not have: it may never be complete. Returns the newest one
        that all nodes have and that can be stored.
        """
        complete = checkpoints.complete_steps(self._folder, self._ranks)
        newest = next((step for step in self._group.written(complete) if step not in self._refused), None)
        for step in complete:
            superseded = self._committed(step) or (newest is not None and step < newest)
            if step != self._uploading and superseded:
                shutil.rmtree(self._folder / names.step_folder(step), ignore_errors=True)
        waits = self._uploading is not None and any(step > self._uploading for step in complete)
        hold = self._folder / names.HOLD
        if waits:
            hold.touch()
        else:
            hold.unlink(missing_ok=True)
        return newest

    def _save(self, step: int) -> bool:
        """Upload one; False if it should be tried again later."""
        place, started = self._place, time.monotonic()
        try:
            self._group.order(step)
            checkpoints.upload_part(place, self._folder / names.step_folder(step), 0, self._ranks, self._on_bytes)
            problems = self._group.uploaded(step, self._check)
            if problems:
                self._refuse(step, "; ".join(problems))
                return True
            size = checkpoints.commit(place, step, self._resources.world_size, self._resources.nodes)
            self.newest = step
            self._on_commit()
            self._log.say(
                f"checkpoint of step {step}: {size / 2**20:.1f} MiB uploaded in {time.monotonic() - started:.1f} s"
            )
            keep = self._operation
            retention.prune(place.store, place.kind, place.key, step, keep.keep_last, keep.keep_every)
        except GroupEnded as ended:  # the supervisor hears it, too
            self._log.say(f"checkpoint of step {step} is not complete in the store: {ended}")
            self._aborted.set()
        except _Aborted:
            return False
        except (StoreConfigError, OSError) as error:
            self._refuse(step, str(error))
        except StoreError as error:
            self._log.say(f"checkpoint of step {step}: will be tried again: {error}")
            return False
        except SftError as error:
            self._refuse(step, str(error))
        finally:
            self._uploading = None
        return True

    def _refuse(self, step: int, problem: str) -> None:
        """A checkpoint that cannot be stored costs safety, not the run."""
        self._refused.add(step)
        self._log.say(f"checkpoint of step {step} is not stored: {problem}")

    def _check(self) -> None:
        self._on_bytes(0)

    def _on_bytes(self, _count: int) -> None:
        if self._aborted.is_set():
            raise _Aborted
