"""A hub on this machine: the routes that a download of one repository at one commit uses."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlparse

COMMIT = "a" * 40


class _Handler(BaseHTTPRequestHandler):
    files: dict[str, bytes]
    repository: str
    token: str | None
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(urlparse(self.path).path)
        self.asked.append(f"{self.command} {path}")
        if self.token is not None and self.headers.get("Authorization") != f"Bearer {self.token}":
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"}, body)
            return
        api, resolve = f"/api/datasets/{self.repository}", f"/datasets/{self.repository}/resolve/{COMMIT}/"
        if path.startswith(f"{api}/tree/"):
            blank = {"type": "file", "oid": "0" * 40}
            tree = [{**blank, "path": name, "size": len(data)} for name, data in self.files.items()]
            self._send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"}, body)
        elif path.startswith(api):
            info = {"id": self.repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"}, body)
        elif path.startswith(resolve) and path.removeprefix(resolve) in self.files:
            data = self.files[path.removeprefix(resolve)]
            etag = hashlib.sha1(data).hexdigest()
            self._send(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, body)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def dataset_hub(repository: str, files: dict[str, bytes], token: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """URL of a hub with one data set, and the list of what was asked for."""
    asked: list[str] = []
    handler = type("Handler", (_Handler,), {"files": files, "repository": repository, "token": token, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
