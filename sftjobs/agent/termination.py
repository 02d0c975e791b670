"""The agent's last word: one JSON line of at most 2 KiB, written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from sftjobs.attempts import Termination

MAX_ESCAPED = 6
"""Bytes of one character in JSON, at most (`\\u0000`): cutting by this much never cuts too much."""
MAX_BYTES = 2048
"""Half of what Kubernetes keeps of a termination message."""


def write_termination(path: Path, termination: Termination) -> None:
    """Write the line. A file that cannot be written must not change how the attempt ended, so errors are ignored."""
    body = termination_line(termination)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        try:
            temporary.write_bytes(body)
            temporary.replace(path)
        except OSError:  # a bind-mounted single file, as in a pod: it can be written, but not replaced
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            path.write_bytes(body)


def termination_line(termination: Termination) -> bytes:
    """JSON and a newline; the message is cut in its middle until the line fits."""
    message = termination.message
    while True:
        line = termination.model_copy(update={"message": message}).model_dump_json().encode() + b"\n"
        excess = len(line) - MAX_BYTES
        if excess <= 0:
            return line
        keep = max(0, (len(message) - max(excess // MAX_ESCAPED, 8)) // 2)
        message = f"{message[:keep].rstrip(' …')} … {message[len(message) - keep :].lstrip(' …')}" if keep else ""
