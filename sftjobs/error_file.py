"""The error file of torch elastic: a rank that fails says in it why; the agent names the first failure by it.

It lies on a disk that may be full when it is needed, so the agent makes room for it before the rank starts.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

ROOM = 20 * 2**10
"""Bytes; JSON allows blanks behind it."""
MAX_MESSAGE = 4000
"""Characters, of at most four bytes each."""


@dataclass(frozen=True)
class Said:
    """What a rank has left in its error file; empty if there is none."""

    message: str = ""
    code: int | None = None
    """The exit code with which it was about to end."""
    complaint: bool = False
    """It says that another rank is gone, so the reason is with that one."""


def make_room(path: Path) -> None:
    """Raises OSError if there is none."""
    path.write_bytes(b" " * ROOM)


def leave(path: Path, message: str, code: int, complaint: bool = False) -> None:
    """Write it. Raises OSError on a full disk where nobody has made room."""
    more = {"timestamp": str(int(time.time())), "exit_code": code, "complaint": complaint}
    body = {"message": {"message": message[:MAX_MESSAGE], "extraInfo": more}}
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(json.dumps(body, ensure_ascii=False).encode())


def read(path: Path) -> Said:
    """Also of a program that only knows torch elastic's part of it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))["message"]
        if not isinstance(value, dict):
            return Said(str(value))
        more = value.get("extraInfo") or {}
        code = more.get("exit_code")
        return Said(str(value["message"]), code if isinstance(code, int) else None, more.get("complaint") is True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Said()
