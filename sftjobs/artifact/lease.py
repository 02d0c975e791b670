"""LEASE: who works on a stage key or a run right now. It saves work and is never needed for correctness.

Held means: renewed. An observer calls a LEASE stale when its ETag has not changed for `STALE_AFTER_S` on the
observer's own monotonic clock, so clocks of different machines are never compared. A crash and restart on one machine
need not wait: an owner on this host, boot and pid namespace whose process is gone is stale at once.
"""

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import ValidationError

from sftjobs.artifact.owner import Owner, owner_alive, this_owner
from sftjobs.canonical import readable
from sftjobs.errors import AlreadyExistsError, BusyError, ChangedError, NotFoundError, StoreError
from sftjobs.model import Document
from sftjobs.store.base import Object, Store

STALE_AFTER_S = 30.0
RENEW_EVERY_S = 8.0
POLL_S = 0.5


class LeaseBody(Document):
    """Content of a LEASE."""

    nonce: str
    """Of this holder: tells my own write after a lost response from somebody else's."""
    owner: Owner
    renewed: float
    """Unix time by the owner's clock; makes every renewal a new ETag."""


@dataclass(frozen=True)
class LeaseView:
    """What an observer may conclude."""

    held: bool
    owner: Owner | None = None
    """The holder, or the last one if the LEASE is stale; None if there is no LEASE, or an unreadable one."""


@dataclass
class LeaseWatch:
    """An observer's memory: since when has each LEASE had the ETag it has. One watch serves any number of them."""

    stale_after_s: float = STALE_AFTER_S
    seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    """LEASE key -> (etag, monotonic time at which it was first seen)."""

    def unchanged_for(self, key: str, etag: str) -> float:
        """Seconds for which `key` is known to have had this etag."""
        now = time.monotonic()
        known = self.seen.get(key)
        if known is None or known[0] != etag:
            self.seen[key] = (etag, now)
            return 0.0
        return now - known[1]


def observe(store: Store, lease_key: str, watch: LeaseWatch) -> LeaseView:
    """Look once, without waiting: is the LEASE held? Call it again and again with the same `watch`."""
    try:
        found = store.get(lease_key)
    except NotFoundError:
        watch.seen.pop(lease_key, None)
        return LeaseView(held=False)
    body = _parsed(found)
    stale = _stale(lease_key, found, body, watch)
    return LeaseView(held=not stale, owner=None if body is None else body.owner)


def _stale(key: str, found: Object, body: LeaseBody | None, watch: LeaseWatch) -> bool:
    unchanged_s = watch.unchanged_for(key, found.etag)
    return unchanged_s >= watch.stale_after_s or (body is not None and owner_alive(body.owner) is False)


def _parsed(found: Object) -> LeaseBody | None:
    """None if the body is unreadable: such a LEASE can still be judged by its ETag."""
    try:
        return LeaseBody.model_validate_json(found.body)
    except ValidationError:
        return None


class Lease:
    """A LEASE of this process, renewed by a thread of its own until `release`.

    with Lease(store, key, what="agent of train, attempt 0"):      raises BusyError if somebody else holds it
    """

    def __init__(
        self,
        store: Store,
        key: str,
        *,
        what: str,
        run_id: str = "",
        stale_after_s: float = STALE_AFTER_S,
        renew_every_s: float = RENEW_EVERY_S,
    ) -> None:
        self.store = store
        self.key = key
        self.lost = False
        """True once somebody else holds the LEASE: stop working on what it stands for."""
        self._nonce = secrets.token_hex(16)
        self._owner = this_owner(run_id=run_id, what=what)
        self._stale_after_s = stale_after_s
        self._renew_every_s = renew_every_s
        self._etag = ""
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Lease":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, given_up: Callable[[], bool] = lambda: False) -> None:
        """Take the LEASE, or raise BusyError that names the holder.

        If nobody can tell whether the holder lives, waits until its next renewal (then it is busy), until the LEASE
        is stale (then it is taken over), or until `given_up()` (then it is busy too).
        """
        watch = LeaseWatch(self._stale_after_s)
        first_etag = ""
        while not self._create():
            try:
                found = self.store.get(self.key)
            except NotFoundError:
                continue
            body = _parsed(found)
            if _stale(self.key, found, body, watch):
                if self._take_over(found.etag):
                    break
                continue
            first_etag = first_etag or found.etag
            if given_up() or found.etag != first_etag or self._renewed_here(body):
                raise BusyError(self._who_holds_it(body))
            time.sleep(POLL_S)
        self._thread = threading.Thread(target=self._keep, name=f"lease {self.key}", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Renew now; sets `lost` if somebody else has taken it. Raises StoreError if the store cannot be reached."""
        with self._lock:
            if self.lost or self._released.is_set():
                return
            try:
                self._etag = self.store.replace(self.key, self._body(), self._etag)
            except ChangedError:
                self._after_conflict()

    def release(self) -> None:
        """Stop renewing and delete the LEASE if it is still mine; leaves it to go stale if the store is away."""
        try:
            self.renew()  # proves that it is mine: nobody may take it over for the time that a delete needs
            reachable = True
        except StoreError:
            reachable = False
        already = self._released.is_set()
        self._released.set()
        if self._thread is not None:
            self._thread.join()
        if reachable and self._etag and not self.lost and not already:
            with suppress(StoreError):
                self.store.delete(self.key)

    def _create(self) -> bool:
        try:
            self._etag = self.store.create(self.key, self._body())
        except AlreadyExistsError:
            return False
        return True

    def _take_over(self, etag: str) -> bool:
        """Replace a stale LEASE. False if it vanished or somebody else was faster: look again."""
        try:
            self._etag = self.store.replace(self.key, self._body(), etag)
        except ChangedError:
            return False
        return True

    def _renewed_here(self, body: LeaseBody | None) -> bool:
        """True if the holder lives on this machine and renewed lately by the clock that we share."""
        if body is None or owner_alive(body.owner) is not True:
            return False
        return time.time() - body.renewed < self._stale_after_s

    def _who_holds_it(self, body: LeaseBody | None) -> str:
        owner = None if body is None else body.owner
        who = "somebody else" if owner is None else f"{owner.what} (pid {owner.pid} on {owner.host})"
        return f"{self.store.uri}/{self.key} is held by {who}; it is free when that process has ended"

    def _after_conflict(self) -> None:
        """A replace met another etag: my own write whose answer was lost, or another's."""
        try:
            found = self.store.get(self.key)
        except NotFoundError:
            self.lost = True
            return
        body = _parsed(found)
        if body is not None and body.nonce == self._nonce:
            self._etag = found.etag
        else:
            self.lost = True

    def _body(self) -> bytes:
        body = LeaseBody(nonce=self._nonce, owner=self._owner, renewed=time.time())
        return readable(body.model_dump(mode="json"))

    def _keep(self) -> None:
        while not self._released.wait(self._renew_every_s) and not self.lost:
            with suppress(StoreError):  # an outage of the store must not end the work; the next round tries again
                self.renew()
