"""Tell somebody that the run has ended: one POST with a JSON body, at least once."""

import json
import os
import time
import urllib.request
from collections.abc import Mapping

from sftjobs import names
from sftjobs.errors import NotFoundError
from sftjobs.runs import Verdict, add_event, current_session
from sftjobs.spec.cluster import WebhookSpec
from sftjobs.store.base import Store

TRIES = 5
TIMEOUT_S = 10.0


def announce(
    store: Store, run_id: str, name: str, verdict: Verdict, hook: WebhookSpec, environ: Mapping[str, str] = os.environ
) -> bool:
    """True if the receiver has answered, now or to an earlier controller; failure is an event, never an error.

    A mark in the store after the answer keeps a restarted controller from saying it again. Raises StoreError.
    """
    url = hook.url or (environ.get(hook.url_from.env) if hook.url_from is not None else None)
    session = current_session(store, run_id)
    if not url or session is None:
        return False
    mark = names.session_file(run_id, session.number, names.ANNOUNCED)
    if _exists(store, mark):
        return True
    body = {"run": name, "run_id": run_id, "session": session.number, **verdict.model_dump(mode="json")}
    trouble = _post(url, json.dumps(body).encode())
    if trouble:
        add_event(store, run_id, "webhook-failed", message=trouble)
        return False
    store.create(mark, b"{}\n")
    return True


def _exists(store: Store, key: str) -> bool:
    try:
        store.get(key)
    except NotFoundError:
        return False
    return True


def _post(url: str, body: bytes) -> str:
    """What went wrong; empty if the receiver has answered well. The URL may be a secret, so it is never repeated."""
    trouble = ""
    for attempt in range(TRIES):
        try:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                return ""
        except (OSError, ValueError) as error:
            trouble = f"{type(error).__name__}: {getattr(error, 'reason', '') or getattr(error, 'code', '')}"
        time.sleep(2.0**attempt if attempt + 1 < TRIES else 0)
    return trouble
