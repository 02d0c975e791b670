"""An API server that answers what a test tells it to, on a real socket: for what a real one does too rarely.

with ScriptedApi() as server:
    server.script("GET jobs", listing("7", job), status(503))      one after the other, the last again and again
    server.script("WATCH jobs", watch := Stream())
    api = server.api()
    watch.send(event("MODIFIED", job)), watch.cut()
    server.asked("WATCH jobs")[0].query["resourceVersion"]
"""

import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client import Configuration

from sftjobs.kube.api import Api, Object

NAMESPACE = "team"
_END, _CUT = b"end", b"cut"


@dataclass(frozen=True)
class Request:
    """What the client has sent."""

    verb: str
    """Method and resource, e.g. `POST jobs`; a watch is `WATCH jobs`."""
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Object | None
    at: float
    """Monotonic time."""


@dataclass
class Answer:
    """One whole answer; with `cut` the connection ends after so many bytes of its body."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay_s: float = 0.0


class Stream:
    """The answer to a watch, written while it goes on."""

    def __init__(self, *first: bytes) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._last = b""
        self.opened = threading.Event()
        self.send(*first)

    def send(self, *chunks: bytes) -> Self:
        """Each becomes a chunk of its own on the wire."""
        for chunk in chunks:
            self._queue.put(chunk)
        return self

    def end(self) -> Self:
        """As the server does after `timeoutSeconds`."""
        return self._close(_END)

    def cut(self) -> Self:
        """As a load balancer does."""
        return self._close(_CUT)

    def _close(self, how: bytes) -> Self:
        self._last = how
        self._queue.put(None)
        return self

    def write(self, handler: "_Handler") -> None:
        self.opened.set()
        while (chunk := self._queue.get()) is not None:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            handler.wfile.flush()
        if self._last == _END:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.close_connection = True


class Gate:
    """Holds an answer back until the test has looked at what was before it."""

    def __init__(self, reply: Answer | Stream) -> None:
        self._reply = reply
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def wait(self) -> Answer | Stream:
        assert self._opened.wait(30), "never opened"
        return self._reply


Reply = Answer | Stream | Gate | Callable[[Request], Answer]


class ScriptedApi:
    """Context manager. A verb without a script is answered with 404."""

    def __init__(self) -> None:
        self._scripts: dict[str, list[Reply]] = {}
        self._streams: list[Stream] = []
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.scripted = self

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.cut()
        self._server.shutdown()
        self._server.server_close()

    def script(self, verb: str, *replies: Reply) -> None:
        """What this verb is answered from now on."""
        with self._lock:
            self._scripts[verb] = list(replies)

    def quiet(self, *resources: str) -> None:
        """Nothing is there, and nothing happens."""
        for resource in resources:
            self.script(f"GET {resource}", listing("1"))
            self.script(f"WATCH {resource}", Stream())

    def asked(self, verb: str) -> list[Request]:
        return [request for request in self.requests if request.verb == verb]

    def configuration(self, token: str = "") -> Configuration:
        found = Configuration(host=f"http://127.0.0.1:{self._server.server_address[1]}")
        if token:
            found.api_key = {"BearerToken": f"Bearer {token}"}
        return found

    def api(self, load: Callable[[], Configuration] | None = None) -> Api:
        return Api(load or self.configuration, NAMESPACE)

    def reply(self, request: Request) -> Answer | Stream:
        with self._lock:
            self.requests.append(request)
            replies = self._scripts.get(request.verb) or [status(404, "NotFound", f"no script for {request.verb}")]
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Gate):
            reply = reply.wait()
        if isinstance(reply, Stream):
            if reply.opened.is_set():  # said already: another watch hears nothing new
                reply = Stream()
            self._streams.append(reply)
        return reply(request) if callable(reply) else reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    scripted: ScriptedApi

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a client that went away in the middle is part of the game


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        reply = self.server.scripted.reply(self._request())
        if isinstance(reply, Stream):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            reply.write(self)
            return
        time.sleep(reply.delay_s)
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
        self.close_connection = reply.cut is not None

    do_POST = do_DELETE = do_GET  # noqa: N815 - names of the base class

    def _request(self) -> Request:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        method = "WATCH" if query.get("watch") else self.command
        return Request(
            verb=f"{method} {_resource(url.path)}",
            path=url.path,
            query=query,
            headers=dict(self.headers.items()),
            body=json.loads(body) if body else None,
            at=time.monotonic(),
        )

    def log_message(self, format: str, *args: Any) -> None:
        return


def _resource(path: str) -> str:
    """`jobs` of .../namespaces/team/jobs, `jobs/x` of one Job."""
    return path.partition(f"/namespaces/{NAMESPACE}/")[2] or path.rpartition("/")[2]


# --- answers ----------------------------------------------------------------------------------------------------------
def answer(body: Any, code: int = 200, **headers: str) -> Answer:
    return Answer(code, json.dumps(body).encode(), headers)


def listing(version: str, *items: Object) -> Answer:
    return answer({"kind": "List", "metadata": {"resourceVersion": version}, "items": list(items)})


def status(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    """A refusal as the API server words it."""
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return answer(body, code, **{name.replace("_", "-"): value for name, value in headers.items()})


def event(kind: str, thing: Object) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": thing}, ensure_ascii=False).encode() + b"\n"


def bookmark(version: str) -> bytes:
    return event("BOOKMARK", {"kind": "Job", "metadata": {"resourceVersion": version}})


def expired() -> bytes:
    """A watch is told in its stream that it asks for what is forgotten."""
    return event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


def thing(name: str, version: str = "1", **more: Any) -> Object:
    return {"metadata": {"name": name, "resourceVersion": version}, **more}
