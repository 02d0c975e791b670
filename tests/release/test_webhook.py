"""Whoever cluster.yaml names is told that a run has ended: a real receiver, a real store."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sftjobs import runs
from sftjobs.release import webhook
from sftjobs.release.webhook import announce
from sftjobs.runs import Owner, Verdict, begin_session, create_run, write_verdict
from sftjobs.spec.cluster import WebhookSpec
from sftjobs.spec.secret import FromEnv
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.chains import NOW, chain_plan

FAILED = Verdict(outcome="failed", stage="train", failure="hang", message="no step for 900 s", finished=NOW)
TOKEN = "T0PS3CRET"


class Receiver:
    """Answers with the codes it is given, the last one again and again; remembers what it was told."""

    def __init__(self) -> None:
        self.codes = [200]
        self.told: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                code = receiver.codes.pop(0) if len(receiver.codes) > 1 else receiver.codes[0]
                if code == 0:
                    self.wfile.write(b"this is no HTTP\r\n\r\n")
                    return
                self.send_response(code)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook/{TOKEN}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "FIRST_WAIT_S", 0.01)
    found = Receiver()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"), tmp_path)


@pytest.fixture
def run_id(store: Store) -> str:
    owner = Owner(user="u", host="h", backend="kubernetes", run="demo", created=NOW)
    made = create_run(store, chain_plan({"a": []}), b"", owner)
    begin_session(store, made, {}, [], NOW)
    return made


Tell = Callable[[WebhookSpec], bool]


@pytest.fixture
def tell(store: Store, run_id: str) -> Tell:
    """As a controller does, each time anew."""
    secret = {
        "HOOK_URL": f"http://127.0.0.1:1/{TOKEN}",
        "FILE": f"file:///etc/{TOKEN}",
        "NO_SCHEME": f"hooks.example.org/{TOKEN}",
        "SPACE": f"http://127.0.0.1:1/{TOKEN} x",
    }
    return lambda hook: announce(store, run_id, "demo", FAILED, hook, secret)


def trouble(store: Store, run_id: str) -> list[str]:
    return [event.fields["message"] for _, event in runs.read_events(store, run_id) if event.kind == "webhook-failed"]


def test_one_post_with_the_verdict(receiver: Receiver, tell: Tell, store: Store, run_id: str) -> None:
    assert tell(WebhookSpec(url=receiver.url)) is True
    assert receiver.told == [
        {
            "run": "demo",
            "run_id": run_id,
            "session": 0,
            "outcome": "failed",
            "stage": "train",
            "failure": "hang",
            "message": "no step for 900 s",
            "finished": NOW,
        }
    ]
    assert trouble(store, run_id) == []


def test_a_restarted_controller_does_not_repeat_it(receiver: Receiver, tell: Tell) -> None:
    assert tell(WebhookSpec(url=receiver.url)) and tell(WebhookSpec(url=receiver.url))
    assert len(receiver.told) == 1


def test_each_session_has_an_end(receiver: Receiver, tell: Tell, store: Store, run_id: str) -> None:
    tell(WebhookSpec(url=receiver.url))
    write_verdict(store, run_id, 0, FAILED)
    begin_session(store, run_id, {}, [], NOW)
    tell(WebhookSpec(url=receiver.url))
    assert [body["session"] for body in receiver.told] == [0, 1]


@pytest.mark.parametrize("code", [500, 429, 404, 302, 307, 0])
def test_it_is_said_again_until_it_is_heard(receiver: Receiver, tell: Tell, code: int) -> None:
    receiver.codes = [code, code, 204]
    assert tell(WebhookSpec(url=receiver.url)) is True
    assert len(receiver.told) == 3


@pytest.mark.parametrize(
    ("code", "words"), [(503, "answered with 503 Service Unavailable"), (302, "answered with 302 Found"), (0, "Bad")]
)
def test_nobody_listens_at_all(
    receiver: Receiver, tell: Tell, store: Store, run_id: str, code: int, words: str
) -> None:
    receiver.codes = [code]
    assert tell(WebhookSpec(url=receiver.url)) is False
    assert len(receiver.told) == webhook.TRIES
    assert words in trouble(store, run_id)[0]
    receiver.codes = [200]
    assert tell(WebhookSpec(url=receiver.url)) is True, "the next controller says it"


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (WebhookSpec(url_from=FromEnv(env="HOOK_URL")), "refused"),
        (WebhookSpec(url_from=FromEnv(env="NOT_SET")), "the Secret has no such key"),
        (WebhookSpec(url_from=FromEnv(env="FILE")), "does not begin with http"),
        (WebhookSpec(url_from=FromEnv(env="NO_SCHEME")), "does not begin with http"),
        (WebhookSpec(url_from=FromEnv(env="SPACE")), "not a valid one"),
        (WebhookSpec(url=f"http://hooks.invalid:port/{TOKEN}"), "not a valid one"),
    ],
)
@pytest.mark.usefixtures("receiver")
def test_the_url_is_a_secret_and_never_repeated(
    tell: Tell, store: Store, run_id: str, hook: WebhookSpec, words: str
) -> None:
    assert tell(hook) is False
    assert words in trouble(store, run_id)[0]
    everything = b"".join(store.get(entry.key).body for entry in store.list("runs/"))
    assert TOKEN.encode() not in everything


def test_nobody_wants_to_know(tell: Tell, store: Store, run_id: str) -> None:
    assert tell(WebhookSpec()) is False
    assert trouble(store, run_id) == []
