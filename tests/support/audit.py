"""The audit log of the lab's API server: who asked for what, and when.

log = AuditLog(cluster.audit_log)      from here on
for entry in log.read(): ...
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One request that was answered."""

    user: str
    agent: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    received: float
    """Unix time by the API server's clock."""


class AuditLog:
    """What is appended to the file after this object was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    def read(self, namespace: str) -> list[Request]:
        """Requests to objects of the namespace so far, in order."""
        return [entry for entry in self._parse() if entry.namespace == namespace]

    def _parse(self) -> Iterator[Request]:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written
                entry = json.loads(line)
                target = entry.get("objectRef") or {}
                yield Request(
                    user=entry["user"].get("username", ""),
                    agent=entry.get("userAgent", ""),
                    verb=entry["verb"],
                    resource=target.get("resource", ""),
                    namespace=target.get("namespace", ""),
                    name=target.get("name", ""),
                    code=(entry.get("responseStatus") or {}).get("code", 0),
                    received=datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp(),
                )


def job_creates(requests: list[Request]) -> dict[str, float]:
    """Job name -> when the request that made it arrived."""
    made = {}
    for entry in requests:
        if (entry.verb, entry.resource, entry.code) == ("create", "jobs", 201):
            made.setdefault(entry.name, entry.received)
    return made
