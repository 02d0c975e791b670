"""Jobs as processes on this machine.

It executes the Job dict of `sftjobs.objects`: command, environment, completions, grace period, deadline. Agents are
detached: they go on when the controller ends, and the next controller finds them by their files (`folders.py`).
`list` does what a kubelet does beside reporting: it starts what is missing and ends what was asked to end.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sftjobs import names
from sftjobs.attempts import Termination
from sftjobs.backend import agents, endings
from sftjobs.backend.base import BackendError, Job, JobStatus
from sftjobs.backend.environment import MissingSecretError, environment, make_folders
from sftjobs.backend.folders import (
    Deletion,
    Ending,
    JobFolder,
    create_folder,
    folder_of,
    folders,
    open_folder,
)
from sftjobs.crashpoints import crash_point
from sftjobs.names import Exit


class ProcessBackend:
    """`work` is a folder on a local disk; secrets and everything else that is not in the Job come from `environ`."""

    def __init__(self, work: Path, environ: Mapping[str, str] | None = None) -> None:
        self._work = work.resolve()
        self._environ = dict(os.environ if environ is None else environ)
        self._children: dict[Path, int] = {}
        """Folder of an agent -> pid of the process that this controller started there."""
        self._exit_codes: dict[Path, int] = {}
        self._ended: dict[Path, JobStatus] = {}
        self._told: set[Path] = set()
        """Jobs whose agents this controller has sent TERM."""

    def create(self, job: Job) -> None:
        """Record the Job and start its agents. Raises BackendError if another Job has its name."""
        run_id = job["metadata"]["annotations"][names.ANNOTATION_RUN_ID]
        try:
            folder = create_folder(self._work, run_id, job)
            _same_job(folder, job)
            crash_point("backend.recorded")
            self._status(folder)
        except OSError as error:
            raise BackendError(f"cannot start {job['metadata']['name']}: {error}") from error

    def list(self, run_id: str) -> list[JobStatus]:
        """Every recorded Job of the run; starts and ends agents where that is due."""
        try:
            found = [self._status_in(path) for path in folders(self._work, run_id)]
            return [status for status in found if status is not None]
        except OSError as error:
            raise BackendError(f"cannot read {self._work / 'jobs'}: {error}") from error

    def delete(self, run_id: str, name: str, grace_s: float | None = None) -> None:
        """TERM to the agents now, KILL to all their processes after the grace (by a later `list`)."""
        folder = open_folder(folder_of(self._work, run_id, name))
        if folder is None or folder.ending is not None:
            return
        grace = folder.grace_s if grace_s is None else grace_s
        self._ask_to_stop(folder, Deletion(kill_at=time.time() + grace))

    def _status_in(self, path: Path) -> JobStatus | None:
        """An end is final, so it is read once."""
        if path in self._ended:
            return self._ended[path]
        folder = open_folder(path)
        return self._status(folder) if folder is not None else None

    def _status(self, folder: JobFolder) -> JobStatus:
        if folder.ending is None:
            try:
                running = [self._supervise(folder, index) for index in folder.indexes]
            except MissingSecretError as error:
                self._end(folder, Termination(failure="config", code=Exit.BAD_CONFIG, message=str(error)))
            else:
                self._enforce(folder, running)
        ending = folder.ending
        if ending is None:
            started = folder.started()
            phase = "pending" if started is None else "running"
            return JobStatus(folder.name, folder.stage, folder.attempt, phase, started=started)  # type: ignore[arg-type]
        status = JobStatus(
            folder.name, folder.stage, folder.attempt, "ended", ending.termination, ending.started, ending.finished
        )
        self._ended[folder.path] = status
        return status

    def _supervise(self, folder: JobFolder, index: int) -> bool:
        """Start the agent if nobody has; True while it runs or is being started."""
        path = folder.index(index)
        pid = folder.pid(index)
        if pid is None and path not in self._children and path not in self._exit_codes:
            self._start(folder, index)
            return True
        child = self._children.get(path)
        if child is not None:
            code = agents.reap(child)
            pid = folder.pid(index)
            if code is not None:
                del self._children[path]
                if pid in (None, child):  # otherwise another controller's agent was first, and that one counts
                    self._exit_codes[path] = code
            elif pid in (None, child):
                return True
        return pid is not None and agents.is_alive(pid, folder.scratch(index))

    def _start(self, folder: JobFolder, index: int) -> None:
        make_folders(folder, index)
        environ = environment(folder, index, self._environ)
        command = list(folder.pod["containers"][0]["command"])
        command[0] = sys.executable if command[0] == "python" else command[0]
        self._children[folder.index(index)] = agents.start(folder.index(index), command, environ)
        crash_point("backend.started")

    def _enforce(self, folder: JobFolder, running: Sequence[bool]) -> None:
        """End by force, end a group of which one failed, end what runs too long, record what has ended."""
        now = time.time()
        deletion = folder.deletion
        started = folder.started()
        if not any(running):
            self._record_end(folder, deletion)
        elif deletion is not None:
            if now >= deletion.kill_at:
                self._kill(folder)
            elif folder.path not in self._told:  # a controller before this one ended between record and signal
                self._ask_to_stop(folder, deletion)
        elif not all(running):
            self._ask_to_stop(folder, Deletion(kill_at=now + folder.grace_s))
        elif started is not None and now - started > folder.deadline_s:
            self._ask_to_stop(folder, Deletion(kill_at=now + folder.grace_s, deadline=True))

    def _ask_to_stop(self, folder: JobFolder, deletion: Deletion) -> None:
        before = folder.deletion
        if before is None or deletion.kill_at < before.kill_at:
            deadline = deletion.deadline if before is None else before.deadline
            folder.ask_to_delete(Deletion(kill_at=deletion.kill_at, deadline=deadline))
            crash_point("backend.deletion-recorded")
        self._told.add(folder.path)
        for index in folder.indexes:
            pid = folder.pid(index)
            if pid is not None and agents.is_alive(pid, folder.scratch(index)):
                agents.ask_to_stop(pid)

    def _record_end(self, folder: JobFolder, deletion: Deletion | None) -> None:
        self._kill(folder)  # an agent that was killed may have left its program behind
        words = [
            (_ended_at(folder.index(index)), endings.termination(folder.index(index), self._code(folder, index)))
            for index in folder.indexes
        ]
        last_word = endings.first_failure(words)
        if deletion is not None and deletion.deadline:
            last_word = endings.past_deadline(folder.deadline_s, last_word)
        self._end(folder, last_word)

    def _code(self, folder: JobFolder, index: int) -> int | None:
        return self._exit_codes.get(folder.index(index))

    def _end(self, folder: JobFolder, last_word: Termination) -> None:
        folder.end(Ending(termination=last_word, started=folder.started(), finished=time.time()))
        crash_point("backend.ended")

    def _kill(self, folder: JobFolder) -> None:
        for index in folder.indexes:
            agents.kill(folder.pid(index), folder.scratch(index))


def _same_job(folder: JobFolder, job: Job) -> None:
    recorded, wanted = folder.job["metadata"]["annotations"], job["metadata"]["annotations"]
    key = names.ANNOTATION_STAGE_KEY
    if recorded[key] != wanted[key]:
        raise BackendError(f"job {folder.name} exists already with stage key {recorded[key]}, wanted {wanted[key]}")


def _ended_at(folder: Path) -> float:
    """Unix time of the last word of an agent; one without a last word ended for a reason of its own, so it is first."""
    try:
        return (folder / "termination").stat().st_mtime
    except FileNotFoundError:
        return 0.0
