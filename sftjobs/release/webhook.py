"""Tell somebody that the run has ended: one POST with a JSON body, at least once."""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from sftjobs import names
from sftjobs.errors import NotFoundError
from sftjobs.runs import Verdict, add_event, current_session
from sftjobs.spec.cluster import WebhookSpec
from sftjobs.store.base import Store

TRIES = 5
FIRST_WAIT_S = 1.0
TIMEOUT_S = 10.0


def announce(
    store: Store, run_id: str, name: str, verdict: Verdict, hook: WebhookSpec, environ: Mapping[str, str] = os.environ
) -> bool:
    """True if the receiver has answered, now or to an earlier controller; failure is an event, never an error.

    A mark in the store after the answer keeps a restarted controller from saying it again. Raises StoreError.
    """
    url = hook.url or (environ.get(hook.url_from.env, "") if hook.url_from is not None else None)
    session = current_session(store, run_id)
    if url is None or session is None:
        return False
    mark = names.session_file(run_id, session.number, names.ANNOUNCED)
    if _exists(store, mark):
        return True
    body = {"run": name, "run_id": run_id, "session": session.number, **verdict.model_dump(mode="json")}
    trouble = _post(url, json.dumps(body).encode()) if url else "its URL is not set: the Secret has no such key"
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
    if not url.lower().startswith(("http://", "https://")):
        return "the URL does not begin with http:// or https://"
    trouble = ""
    for attempt in range(TRIES):
        try:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
            with _OPENER.open(request, timeout=TIMEOUT_S):
                return ""
        except urllib.error.HTTPError as error:
            trouble = f"answered with {error.code} {error.reason}"
        except urllib.error.URLError as error:
            trouble = str(error.reason)
        except http.client.InvalidURL:
            return "the URL is not a valid one"
        except (OSError, ValueError, http.client.HTTPException) as error:
            trouble = type(error).__name__
        time.sleep(FIRST_WAIT_S * 2.0**attempt if attempt + 1 < TRIES else 0)
    return trouble


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET: answered well, and nobody told."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)
