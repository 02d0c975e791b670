"""What one check has found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "failed", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    state: State
    text: str
    todo: str = ""
    """What to do about it."""


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def failed(check: str, text: str, todo: str) -> Finding:
    return Finding(check, "failed", text, todo)


def not_checked(check: str, why: str, todo: str = "") -> Finding:
    return Finding(check, "not checked", why, todo)
