"""The folder of a Job on this machine. `job.json` alone says that the Job exists; all else follows from it.

<work>/jobs/<run id>/<job name>/job.json       the Job dict; create-only
                                delete.json    until when it may stop by itself; replaced by an earlier end
                                ended.json     its final status; create-only
                                port           where the agent of node 0 listens, with several nodes
                                <index>/pid    process id, written by the process before it becomes the agent
                                <index>/termination, output.log, volumes/<name>/
"""

import json
import os
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any

from sftjobs import names
from sftjobs.attempts import Termination
from sftjobs.backend.base import Job
from sftjobs.canonical import readable
from sftjobs.model import Document


class Deletion(Document):
    """A request to stop."""

    kill_at: float
    """Unix time after which the Job is ended by force."""
    deadline: bool = False
    """True if it was stopped because `activeDeadlineSeconds` had passed."""


class Ending(Document):
    """How a Job ended."""

    termination: Termination
    started: float | None
    finished: float


class JobFolder:
    """One Job's files."""

    def __init__(self, path: Path, job: Job) -> None:
        self.path = path
        self.job = job
        self.name: str = job["metadata"]["name"]
        self.stage: str = job["metadata"]["labels"][names.LABEL_STAGE]
        self.attempt = int(job["metadata"]["labels"][names.LABEL_ATTEMPT])
        self.pod: dict[str, Any] = job["spec"]["template"]["spec"]
        self.grace_s = float(self.pod["terminationGracePeriodSeconds"])
        self.deadline_s = float(job["spec"]["activeDeadlineSeconds"])
        self.indexes = range(job["spec"]["completions"])

    def index(self, index: int) -> Path:
        return self.path / str(index)

    def scratch(self, index: int) -> Path:
        """Working folder of one agent; no other process ever has this path in its environment."""
        return self.index(index) / "volumes" / "scratch"

    def pid(self, index: int) -> int | None:
        """Process id of the agent; None while it is not known yet."""
        text = _read(self.index(index) / "pid")
        return None if text is None else int(text)

    @property
    def port(self) -> int:
        """Where the agent of node 0 listens; the same for every agent of the Job, whichever controller starts it."""
        path = self.path / "port"
        if not path.exists():
            with socket.socket() as probe:
                probe.bind(("", 0))
                write_new(path, str(probe.getsockname()[1]).encode())
        return int(path.read_text(encoding="utf-8"))

    def started(self) -> float | None:
        """Unix time at which the first agent started."""
        try:
            return (self.index(0) / "pid").stat().st_mtime
        except FileNotFoundError:
            return None

    @property
    def deletion(self) -> Deletion | None:
        text = _read(self.path / "delete.json")
        return None if text is None else Deletion.model_validate_json(text)

    def ask_to_delete(self, deletion: Deletion) -> None:
        write_new(self.path / "delete.json", deletion.model_dump_json().encode(), overwrite=True)

    @property
    def ending(self) -> Ending | None:
        text = _read(self.path / "ended.json")
        return None if text is None else Ending.model_validate_json(text)

    def end(self, ending: Ending) -> None:
        """Record how it ended and give back its disk space; messages and output stay."""
        write_new(self.path / "ended.json", ending.model_dump_json().encode())
        for index in self.indexes:
            shutil.rmtree(self.index(index) / "volumes", ignore_errors=True)


def folder_of(work: Path, run_id: str, name: str) -> Path:
    return work / "jobs" / run_id / name


def open_folder(path: Path) -> JobFolder | None:
    """The Job in `path`, or None if there is none."""
    text = _read(path / "job.json")
    return None if text is None else JobFolder(path, json.loads(text))


def folders(work: Path, run_id: str) -> list[Path]:
    """The folder of every Job of a run, by name; a Job may not be recorded in it yet."""
    root = work / "jobs" / run_id
    return sorted(root.iterdir()) if root.is_dir() else []


def create_folder(work: Path, run_id: str, job: Job) -> JobFolder:
    """Record the Job, unless there is one of this name already; returns the one that is recorded."""
    path = folder_of(work, run_id, job["metadata"]["name"])
    path.mkdir(parents=True, exist_ok=True)
    write_new(path / "job.json", readable(job))
    folder = open_folder(path)
    assert folder is not None
    return folder


def write_new(path: Path, body: bytes, overwrite: bool = False) -> None:
    """Write a whole file or nothing, durably. Without `overwrite` an existing file stays as it is."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with temporary.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    if overwrite:
        temporary.rename(path)
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
