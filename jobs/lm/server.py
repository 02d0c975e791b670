"""An OpenAI-compatible server beside the program: started for one model folder, always ended with it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.lm import server_guard
from sftjobs.errors import DataError
from sftjobs.spec.eval import ServerSpec

_TAIL = 20
"""Lines of the server's log that an error shows."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that was started; whether it answers has to be asked."""

    spec: ServerSpec
    model: Path
    """Folder of the model it was told to serve."""
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def tail(self) -> str:
        """The last lines that it wrote, for an error message."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        return "\n".join(["The last lines of its output:", *lines]) if lines else "It wrote nothing."


@contextmanager
def running_server(spec: ServerSpec, model: Path) -> Iterator[Server]:
    """Start `spec.command` for `model` in a process group of its own; at the end of the block all of it is ended.

    If this process dies, by whatever signal, the server ends too (`server_guard`). Raises DataError if the command
    cannot be one.
    """
    port = _free_port()
    command = _command(spec, model, port)
    with tempfile.TemporaryDirectory(prefix="sftjobs-server-") as scratch:
        log = Path(scratch) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-I", server_guard.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Server(spec, model, port, process, log)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.close()  # what the guard waits for
    try:
        process.wait(server_guard.PATIENCE_S + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # workers of a server that had ended by itself


def _command(spec: ServerSpec, model: Path, port: int) -> list[str]:
    fault = spec.fault()
    if fault is not None:
        raise DataError(f"eval.engine.command: {fault}")
    if shutil.which(spec.command[0]) is None:
        raise DataError(
            f"eval.engine.command: there is no program {spec.command[0]!r} where evaluation runs; install it in the "
            "image of the eval stage, or give its path"
        )
    # Not str.format: an argument may be JSON with braces of its own.
    return [part.replace("{model}", str(model)).replace("{port}", str(port)) for part in spec.command]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
