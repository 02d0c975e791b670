"""What a stage program uses: its plan, its inputs, where to write, how to report progress and how to end.

A program is `python -m <module>` under the agent. It never talks to the store. Its whole contract is a few
environment variables (`sftjobs.names`), an output folder and an exit code:

    def run(program: Program) -> None:
        config = TrainConfig.model_validate(program.plan.config)
        ...
        program.write_counts({...})

    if __name__ == "__main__":
        main(run)
"""

import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from sftjobs import error_file, names
from sftjobs.canonical import readable
from sftjobs.errors import PeerError, SftError
from sftjobs.names import Exit
from sftjobs.phases import Marker, Phase
from sftjobs.plan.types import StagePlan


class Stopped(Exception):  # noqa: N818 - not an error
    """Raised by a program that was asked to stop and has saved what it could."""


class Program:
    """One rank of a stage program."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.plan = StagePlan.model_validate_json(Path(environ[names.ENV_PLAN]).read_bytes())
        self.rank = int(environ.get("RANK", "0"))
        self.local_rank = int(environ.get("LOCAL_RANK", "0"))
        self.world_size = int(environ.get("WORLD_SIZE", "1"))
        self._inputs = Path(environ[names.ENV_INPUTS])
        self.output = Path(environ[names.ENV_OUTPUT])
        self.content = self.output / names.CONTENT
        self.info = self.output / names.INFO
        self.checkpoints = Path(environ[names.ENV_CHECKPOINTS])
        resume = environ.get(names.ENV_RESUME)
        self.resume: Path | None = Path(resume) if resume else None
        """Checkpoint folder `step-<N>` to go on from, with `rank-<r>` below it; None for a fresh start."""
        self._progress = Path(environ[names.ENV_PROGRESS])
        phase = environ.get(names.ENV_PHASE)
        self._mark = Marker(Path(phase)) if phase else None
        self._closing: list[Callable[[int], None]] = []
        self.stop_requested = False
        """True once the agent has asked to stop: finish the step, save, raise Stopped."""
        self.content.mkdir(parents=True, exist_ok=True)
        self.info.mkdir(parents=True, exist_ok=True)

    def input(self, name: str) -> Path:
        """Folder of the input `name`; read-only."""
        return self._inputs / name

    def input_file(self, name: str) -> Path:
        """The single file of the external input `name`."""
        files = [p for p in self.input(name).iterdir() if p.is_file()]
        assert len(files) == 1, f"input {name} has {len(files)} files"
        return files[0]

    def progress(
        self, phase: str, step: int, total: int | None = None, unit: str = "examples", **more: float | str
    ) -> None:
        """Say how far the program is; the agent tells progress from silence by these lines. Rank 0 only."""
        if self.rank == 0:
            line = {"t": time.time(), "phase": phase, "step": step, "total": total, "unit": unit, **more}
            with self._progress.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def doing(self, phase: Phase, step: int) -> None:
        """Say where this rank is, from now until the next call. All ranks, in the same order, also where they differ.

        `step`: the one in progress, from 1. What it is for: `sftjobs.phases`.
        """
        if self._mark is not None:
            self._mark(phase, step)

    def at_end(self, close: Callable[[int], None]) -> None:
        """Call `close` with the exit code once the program has ended, and has said why if it failed.

        What `close` holds lives until then, so it must not hold what has to be gone before: a model, process groups.
        """
        self._closing.append(close)

    def close(self, code: int) -> None:
        """What `at_end` was told to do, once. Errors are logged and change nothing."""
        closing, self._closing = self._closing, []
        for close in closing:
            try:
                close(code)
            except Exception:
                traceback.print_exc()

    @property
    def may_save(self) -> bool:
        """False while two checkpoints wait for their upload: the clock is no reason to save another one then."""
        return not (self.checkpoints / names.HOLD).exists()

    def new_checkpoint(self, step: int) -> Path:
        """A fresh temporary folder for this rank's part of the checkpoint of `step`; see `finish_checkpoint`."""
        folder = self.checkpoints / names.step_folder(step) / f".tmp-{names.rank_folder(self.rank)}"
        folder.mkdir(parents=True, exist_ok=False)
        return folder

    def finish_checkpoint(self, folder: Path) -> None:
        """Rename this rank's part into place: from now on the agent may upload it, and nobody may write to it."""
        folder.rename(folder.parent / names.rank_folder(self.rank))

    def write_counts(self, counts: dict[str, Any]) -> None:
        """What the manifest says about the content. Rank 0 only."""
        if self.rank == 0:
            (self.output / names.COUNTS_JSON).write_bytes(readable(counts))

    def write_report(self, section: str, value: dict[str, Any]) -> None:
        """One section of the report, at most 2 MiB of JSON. Rank 0 only."""
        if self.rank == 0:
            folder = self.info / names.REPORT_SECTIONS
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{section}.json").write_bytes(readable(value))


def main(run: Callable[[Program], None]) -> None:
    """Run the program under the agent's environment and end with the exit code of the contract."""
    program = Program(dict(os.environ))

    def request_stop(_signal: int, _frame: object) -> None:
        program.stop_requested = True

    faulthandler.enable()  # a crash in native code leaves its stack in the log
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # the agent asks for stacks when there is no progress
    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the agent decides
    try:
        run(program)
    except Exception as error:
        code = _say(error)
        program.close(code)
        _end(code)  # in here: what the failed program holds is not to be freed, which may wait for other ranks
    program.close(0)
    _end(0)


def _say(error: Exception) -> int:
    """Say what went wrong, before anything else may go wrong on the way out; returns the exit code."""
    if isinstance(error, Stopped):
        print(f"stopped on request: {error}", file=sys.stderr)
        return Exit.STOPPED
    if isinstance(error, SftError):
        print(f"error: {error}", file=sys.stderr)
        _leave_error(str(error), error.exit_code, isinstance(error, PeerError))
        return error.exit_code
    traceback.print_exception(error)
    _leave_error(f"{type(error).__name__}: {error}", Exit.USER_ERROR)
    return Exit.USER_ERROR


def _end(code: int) -> NoReturn:
    """At once, with all files closed by whoever opened them.

    While Python takes itself down, threads of gloo and NCCL whose peers are gone may wait for them, or abort the
    process, and a library may wait for a server that is away: the code would say something else then.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _leave_error(message: str, code: int, complaint: bool = False) -> None:
    """So that the agent can name the first failing rank and its error."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        with suppress(OSError):
            error_file.leave(Path(path), message, code, complaint)
