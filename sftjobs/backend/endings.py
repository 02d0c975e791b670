"""How an agent on this machine ended: its own termination message, or what can be said without one."""

import signal
from pathlib import Path

from pydantic import ValidationError

from sftjobs.attempts import EXIT_CLASS, Termination
from sftjobs.names import Exit

_CONSEQUENCES = ("infrastructure", "stopped", "busy")
"""How agents end when another of their group has failed."""
_NOT_STARTED = (126, 127)
"""Exit codes of the shell that could not become the agent."""


def termination(folder: Path, exit_code: int | None) -> Termination:
    """The last word of the agent in `folder`; `exit_code` is None if another controller had started it."""
    message = _message(folder / "termination")
    if message is not None:
        return message
    if exit_code in _NOT_STARTED:
        text = f"the agent could not be started: {last_line(folder)}"
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=text)
    if exit_code == -signal.SIGTERM:
        text = "told to stop before it could listen"
        return Termination(failure="stopped", code=Exit.STOPPED, message=text)
    if exit_code is None or exit_code <= 0:
        text = f"the agent was killed (no termination message; output in {folder / 'output.log'})"
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=text)
    text = f"the agent ended with exit code {exit_code} and no message: {last_line(folder)}"
    return Termination(failure=EXIT_CLASS.get(exit_code, "user"), code=exit_code, message=text)


def past_deadline(seconds: float, ending: Termination) -> Termination:
    """An attempt that was stopped because it ran too long; it is charged like one that hangs."""
    if ending.failure == "committed":
        return ending
    text = f"stopped after {seconds:.0f} s, the limit of one attempt: raise limits.stage_time_s"
    return ending.model_copy(update={"failure": "hang", "code": int(Exit.HANG), "message": text})


def first_failure(endings: list[tuple[float, Termination]]) -> Termination:
    """Of a group, the agent that is to blame: the first that failed, but not with the complaint that a peer is gone.

    What its peers say is a consequence, and may bear the same second: pods report their end no finer than that.
    """
    failed = [item for item in endings if item[1].failure != "committed"]
    return min(failed or endings, key=lambda item: (item[1].failure in _CONSEQUENCES, item[0]))[1]


def last_line(folder: Path) -> str:
    """The last line that the agent printed, at most 500 characters."""
    try:
        lines = (folder / "output.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return "(no output)"
    return lines[-1][:500] if lines else "(no output)"


def _message(path: Path) -> Termination | None:
    try:
        return Termination.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None  # killed before or while it wrote
