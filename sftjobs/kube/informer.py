"""An up-to-date copy of the objects that a label selector matches: list once, then watch.

Its loop is our own because the client's gives up on a 410, does not ask for bookmarks and never notices a connection
that has gone silent. While it cannot be listed, the copy counts as unknown and `snapshot` raises.
"""

import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from sftjobs.kube.api import Api, ApiError, Object

WATCH_S = 280
"""The server ends a watch after about so long; each informer has its own, so that they do not all come at once."""
SILENCE_S = 100.0
"""Bookmarks come about once a minute: a watch that is silent for longer is dead."""
RELIST_S = 600.0
"""List again now and then, whatever the watch says: watches are known to lose changes without an error."""
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
SYNC_S = 60.0
"""Patience of the first `snapshot` for the first listing."""


@dataclass
class _Copy:
    objects: dict[str, Object] = field(default_factory=dict)
    version: str = ""
    listed: float = float("-inf")
    """Monotonic time of the last listing."""


class Informer:
    """Started by the first `snapshot`; ends with the process or by `close`."""

    def __init__(self, api: Api, resource: str, labels: str, on_change: Callable[[], None] = lambda: None) -> None:
        self._api = api
        self._resource = resource
        self._labels = labels
        self._on_change = on_change
        self._lock = threading.Lock()
        self._copy = _Copy()
        self._trouble: ApiError | None = None
        self._settled = threading.Event()
        """Set once the first listing has succeeded or failed."""
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def snapshot(self) -> list[Object]:
        """The objects as far as they are known now. Raises ApiError while they cannot be known."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"watch {self._resource}", daemon=True)
            self._thread.start()
        self._settled.wait(SYNC_S)
        with self._lock:
            if self._trouble is not None:
                raise self._trouble
            if not self._copy.version:
                raise ApiError(0, "Unreachable", f"no listing of {self._resource} for {SYNC_S:.0f} s")
            return list(self._copy.objects.values())

    def put(self, thing: Object) -> None:
        """What a request of one's own has answered: the watch will say the same, a moment later."""
        with self._lock:
            known = self._copy.objects.get(thing["metadata"]["name"])
            if known is None or _version(known) < _version(thing):
                self._copy.objects[thing["metadata"]["name"]] = thing

    def close(self) -> None:
        """Stop watching; a request that is under way ends by itself."""
        self._closed.set()

    def _run(self) -> None:
        """A thread that ends would look like a cluster in which nothing happens, or leave a controller that waits for
        ever: whatever it did not understand, it begins anew with a listing."""
        while not self._closed.is_set():
            try:
                self._follow_on()
            except Exception as error:
                traceback.print_exception(error)
                self._unknown(ApiError(0, "Defect", f"the watch of {self._resource} was broken off: {error!r}"))
                self._closed.wait(MAX_WAIT_S)

    def _follow_on(self) -> None:
        wait = FIRST_WAIT_S
        while not self._closed.is_set():
            began = time.monotonic()
            trouble = self._follow()
            lasted = time.monotonic() - began
            if lasted > MAX_WAIT_S or (trouble is None and lasted > FIRST_WAIT_S):
                wait = FIRST_WAIT_S
            if trouble is None and lasted > FIRST_WAIT_S:
                continue  # the server ends every watch some time
            asked = trouble.retry_after_s if trouble is not None else None
            self._closed.wait(max(wait, asked or 0.0) * random.uniform(1.0, 1.2))
            wait = min(MAX_WAIT_S, 2 * wait)

    def _follow(self) -> ApiError | None:
        """List if it is time to, then watch to the end of the watch. Returns what went wrong.

        A watch that breaks is no trouble yet: what happened meanwhile is known from the next listing, or unknown once
        that fails.
        """
        try:
            if time.monotonic() - self._copy.listed > RELIST_S:
                self._list()
        except ApiError as error:
            self._unknown(error)
            return error
        try:
            self._watch()
        except ApiError as error:
            self._copy.listed = float("-inf")
            return error
        return None

    def _unknown(self, trouble: ApiError) -> None:
        self._copy.listed = float("-inf")
        with self._lock:
            self._trouble = trouble
        self._settled.set()
        self._on_change()

    def _watch(self) -> None:
        seconds = int(WATCH_S * random.uniform(0.85, 1.0))
        for event in self._api.watch(self._resource, self._labels, self._copy.version, seconds, SILENCE_S):
            self._apply(event["type"], event["object"])
            if self._closed.is_set():
                return

    def _list(self) -> None:
        found = self._api.list(self._resource, self._labels)
        listed = {item["metadata"]["name"]: item for item in found.items}
        with self._lock:
            # What was put while the listing was under way is newer; if it is gone again, the watch will say so.
            newer = {name: item for name, item in self._copy.objects.items() if _version(item) > _number(found.version)}
            self._copy.objects = {**listed, **newer}
            self._copy.version = found.version
            self._copy.listed = time.monotonic()
            self._trouble = None
        self._settled.set()
        self._on_change()

    def _apply(self, kind: str, thing: Object) -> None:
        name = thing["metadata"].get("name", "")
        with self._lock:
            self._copy.version = thing["metadata"]["resourceVersion"]
            if kind == "DELETED":
                self._copy.objects.pop(name, None)
            elif kind in ("ADDED", "MODIFIED"):
                self._copy.objects[name] = thing
        if kind != "BOOKMARK":
            self._on_change()


def _version(thing: Object) -> int:
    """Resource versions of one kind grow; since Kubernetes 1.35 that is part of the API, and etcd's always did."""
    return _number(thing["metadata"].get("resourceVersion", ""))


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
