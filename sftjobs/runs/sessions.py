"""Sessions of a run: BEGIN, perhaps CANCEL, and one VERDICT. All are written once.

A controller that finds the newest session without VERDICT goes on with it; with VERDICT it begins the next one, which
is how a run is resumed after a failure, a cancel or a success.
"""

from collections.abc import Mapping
from typing import Literal

from sftjobs import names
from sftjobs.attempts import FailureClass
from sftjobs.canonical import readable
from sftjobs.errors import AlreadyExistsError, NotFoundError
from sftjobs.model import Document
from sftjobs.names import Exit
from sftjobs.store.base import Store

Outcome = Literal["succeeded", "failed", "cancelled", "stopped", "left"]


class Verdict(Document):
    """How a session ended."""

    outcome: Outcome
    """`stopped`: jobs were asked to save and stop, the next request goes on. `left`: this controller went away while
    its jobs go on; never written to the store, because the session has not ended."""
    stage: str | None = None
    """The stage that failed first."""
    failure: FailureClass | None = None
    """Why it failed."""
    message: str = ""
    finished: float
    """Unix time."""

    @property
    def exit_code(self) -> Exit:
        """Exit code of the controller: 3 and 10 are final, everything else may be started again by itself."""
        if self.outcome == "succeeded":
            return Exit.COMMITTED
        if self.outcome in ("stopped", "left"):
            return Exit.STOPPED
        return Exit.BAD_CONFIG if self.failure == "config" else Exit.RUN_FAILED


class Session(Document):
    """What was there when a session began."""

    number: int
    """From 0."""
    begun: float
    """Unix time."""
    attempts: dict[str, int] = {}
    """Stage -> number of attempts before this session; they are not charged to its budgets."""
    committed: list[str] = []
    """Stages that were committed already: cache hits."""
    request: str = ""
    """What it was begun for, where a machine may ask for the same thing again."""


def current_session(store: Store, run_id: str) -> Session | None:
    """The newest session that has begun, or None."""
    for name in reversed(store.list_folders(names.sessions_prefix(run_id))):
        try:
            body = store.get(names.session_file(run_id, int(name), names.BEGIN)).body
        except NotFoundError:
            continue  # cancelled before it began
        return Session.model_validate_json(body)
    return None


def begin_session(
    store: Store, run_id: str, attempts: Mapping[str, int], committed: list[str], now: float, request: str = ""
) -> Session:
    """The session to work in: the open one, or a new one. Only the holder of the run's LEASE may call this.

    A session is also over when somebody asks anew: its controller may have been unable to write a verdict.
    """
    current = current_session(store, run_id)
    is_open = current is not None and read_verdict(store, run_id, current.number) is None
    if current is not None and is_open and request in ("", current.request):
        return current
    number = 0 if current is None else current.number + 1
    session = Session(number=number, begun=now, attempts=dict(attempts), committed=committed, request=request)
    store.create(names.session_file(run_id, number, names.BEGIN), readable(session.model_dump(mode="json")))
    return session


def read_verdict(store: Store, run_id: str, session: int) -> Verdict | None:
    """The verdict of a session, or None while it is open."""
    try:
        body = store.get(names.session_file(run_id, session, names.VERDICT)).body
    except NotFoundError:
        return None
    return Verdict.model_validate_json(body)


def write_verdict(store: Store, run_id: str, session: int, verdict: Verdict) -> Verdict:
    """Close a session; returns the verdict that stands."""
    assert verdict.outcome != "left", "a session does not end because its controller goes away"
    try:
        key = names.session_file(run_id, session, names.VERDICT)
        store.create(key, readable(verdict.model_dump(mode="json")))
    except AlreadyExistsError:
        standing = read_verdict(store, run_id, session)
        assert standing is not None
        return standing
    return verdict


def request_cancel(store: Store, run_id: str) -> bool:
    """Ask the controller to stop the run's jobs and end it as cancelled. False if its last session has ended."""
    current = current_session(store, run_id)
    if current is not None and read_verdict(store, run_id, current.number) is not None:
        return False
    number = 0 if current is None else current.number
    store.create(names.session_file(run_id, number, names.CANCEL), b"{}\n")
    return True


def is_cancelled(store: Store, run_id: str, session: int) -> bool:
    """True once somebody has asked to cancel this session."""
    try:
        store.get(names.session_file(run_id, session, names.CANCEL))
    except NotFoundError:
        return False
    return True
