"""The surroundings of the scenes in kube_scenes.py: namespaces with limits, a queue, and a registry in trouble."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.lab import Object

REGISTRY = "localhost:5055"
QUEUE = "scenes"


class _Registry(BaseHTTPRequestHandler):
    """A registry in trouble, by the name of the image."""

    ANSWERS = {"missing": (404, "MANIFEST_UNKNOWN"), "denied": (401, "UNAUTHORIZED"), "busy": (429, "TOOMANYREQUESTS")}

    def do_GET(self) -> None:
        name = self.path.split("/")[2] if self.path.count("/") > 2 else ""
        status, code = self.ANSWERS.get(name, (503, "UNAVAILABLE")) if name else (200, "")
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode() if code else b"{}"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - name of the base class

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def registry() -> Iterator[None]:
    host, _, port = REGISTRY.partition(":")
    server = ThreadingHTTPServer((host, int(port)), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _quota(namespace: str, hard: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": namespace},
            "spec": {"hard": hard}}  # fmt: skip


def surroundings(prefix: str) -> list[Object]:
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    spaces = [f"{prefix}-{name}" for name in ("plain", "quota", "limits", "range", "queued")]
    found: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": restricted}} for space in spaces
    ]
    found += [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sftjobs", "namespace": s}} for s in spaces]
    found += [_quota(f"{prefix}-quota", {"requests.cpu": "5m"}), _quota(f"{prefix}-limits", {"limits.cpu": "4"})]
    limit = {"type": "Container", "max": {"memory": "32Mi"}}
    found.append({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": [limit]},
                  "metadata": {"name": "small", "namespace": f"{prefix}-range"}})  # fmt: skip
    return found + _kueue(prefix)


def _kueue(prefix: str) -> list[Object]:
    version = "kueue.x-k8s.io/v1beta1"
    quotas = [{"name": name, "nominalQuota": amount} for name, amount in
              (("cpu", "2"), ("memory", "8Gi"), ("ephemeral-storage", "8Gi"))]  # fmt: skip
    group = {
        "coveredResources": [item["name"] for item in quotas],
        "flavors": [{"name": prefix, "resources": quotas}],
    }
    return [
        {"apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": prefix}},
        {"apiVersion": version, "kind": "ClusterQueue", "metadata": {"name": prefix},
         "spec": {"namespaceSelector": {}, "resourceGroups": [group]}},
        {"apiVersion": version, "kind": "LocalQueue", "metadata": {"name": QUEUE, "namespace": f"{prefix}-queued"},
         "spec": {"clusterQueue": prefix}},
    ]  # fmt: skip
