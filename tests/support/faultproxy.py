"""An HTTP proxy between an S3 client and a real server that makes scripted faults happen on the wire.

with FaultProxy(server.endpoint) as proxy:
    proxy.script(lose_response("PUT", "COMMIT"))
    ... use proxy.endpoint ...
"""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
_XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>scripted</Message><Resource>/</Resource></Error>'


@dataclass
class Request:
    """What the client has sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Response:
    """What the server has answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class HangUp(Exception):  # noqa: N818 - not an error of the test
    """Close the connection to the client now; `rest` is sent before."""

    def __init__(self, rest: bytes = b"") -> None:
        self.rest = rest


Forward = Callable[[Request], Response]


@dataclass
class Fault:
    """What happens to the next `times` requests of `method` whose path and query contain `path`."""

    method: str
    path: str
    act: Callable[[Request, Forward], Response]
    times: int = 1

    def matches(self, request: Request) -> bool:
        return self.times > 0 and self.method in ("", request.method) and self.path in request.path


FOREVER = 1_000_000
ANY = ""
"""Any method, or any path."""


def answer(method: str, path: str, status: int, code: str, times: int = 1) -> Fault:
    """The server says no, and does nothing."""
    body = _XML.format(code).encode()
    return Fault(method, path, lambda _request, _forward: Response(status, [], body), times)


def lose_response(method: str, path: str, times: int = 1) -> Fault:
    """The server acts, and the client never hears of it."""

    def act(request: Request, forward: Forward) -> Response:
        forward(request)
        raise HangUp

    return Fault(method, path, act, times)


def lose_request(method: str, path: str, times: int = 1) -> Fault:
    """The connection ends before the server has seen anything."""

    def act(_request: Request, _forward: Forward) -> Response:
        raise HangUp

    return Fault(method, path, act, times)


def corrupt_upload(method: str, path: str, times: int = 1) -> Fault:
    """One bit of the body changes on its way to the server."""

    def act(request: Request, forward: Forward) -> Response:
        return forward(Request(request.method, request.path, request.headers, _flipped(request.body)))

    return Fault(method, path, act, times)


def truncate_upload(method: str, path: str, times: int = 1) -> Fault:
    """The server gets half of the body, then both connections end."""

    def act(request: Request, forward: Forward) -> Response:
        headers = {**request.headers, "x-test-announce": str(len(request.body))}
        forward(Request(request.method, request.path, headers, request.body[: len(request.body) // 2]))
        raise HangUp

    return Fault(method, path, act, times)


def corrupt_download(path: str, times: int = 1) -> Fault:
    """One bit of the body changes on its way to the client."""

    def act(request: Request, forward: Forward) -> Response:
        response = forward(request)
        return Response(response.status, response.headers, _flipped(response.body))

    return Fault("GET", path, act, times)


def truncate_download(path: str, times: int = 1) -> Fault:
    """The client gets half of the body, then the connection ends."""

    def act(request: Request, forward: Forward) -> Response:
        response = forward(request)
        head = [f"HTTP/1.1 {response.status} OK", f"Content-Length: {len(response.body)}"]
        head += [f"{name}: {value}" for name, value in response.headers]
        raise HangUp("\r\n".join([*head, "", ""]).encode() + response.body[: len(response.body) // 2])

    return Fault("GET", path, act, times)


def hold(method: str, path: str, until: threading.Event) -> Fault:
    """The answer comes only when the test says so."""

    def act(request: Request, forward: Forward) -> Response:
        response = forward(request)
        until.wait(30)
        return response

    return Fault(method, path, act)


def ignore_condition(header: str, put: Callable[[str, bytes], str]) -> Fault:
    """A server that does not know the header `header` and writes in any case.

    `put` writes the body at the path and returns the ETag: the header is signed, so it cannot just be taken away.
    """

    def act(request: Request, forward: Forward) -> Response:
        if header not in {name.lower() for name in request.headers}:
            return forward(request)
        return Response(200, [("ETag", put(request.path, request.body))], b"")

    return Fault("PUT", "", act, FOREVER)


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


class FaultProxy:
    """Forwards everything to `upstream` but for what the script says."""

    def __init__(self, upstream: str, bind: str = "127.0.0.1") -> None:
        self._upstream = urlsplit(upstream).netloc
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.seen: list[str] = []
        """Method and path of every request, in order of arrival."""
        self._server = ThreadingHTTPServer((bind, 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def endpoint(self) -> str:
        """URL for a client on this machine."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, *faults: Fault) -> None:
        """Add faults; for each request the first one that matches acts."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """From now on forward everything."""
        with self._lock:
            self._faults.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def respond(self, request: Request) -> Response:
        """The server's answer, or what the script makes of it. Raises HangUp."""
        with self._lock:
            self.seen.append(f"{request.method} {request.path}")
            fault = next((fault for fault in self._faults if fault.matches(request)), None)
            if fault is not None:
                fault.times -= 1
        return self._forward(request) if fault is None else fault.act(request, self._forward)

    def _forward(self, request: Request) -> Response:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            headers = dict(request.headers)
            announced = int(headers.pop("x-test-announce", len(request.body)))
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(announced))
            connection.endheaders(request.body or None)
            if announced != len(request.body):
                return Response(0, [], b"")  # the server still waits for the rest
            answered = connection.getresponse()
            kept = [(name, value) for name, value in answered.getheaders() if name.lower() not in _HOP]
            return Response(answered.status, kept, answered.read())
        finally:
            connection.close()


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            try:
                response = proxy.respond(Request(self.command, self.path, headers, body))
            except HangUp as hang_up:
                self.wfile.write(hang_up.rest)
                self.close_connection = True
                return
            self.send_response_only(response.status)
            for name, value in response.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

        def log_message(self, format: str, *_args: object) -> None:
            """Nothing: `seen` is the log."""

    return Handler
