"""Canonical JSON and digests: equal values give equal bytes, on every machine and Python version."""

import hashlib
import json
from typing import Any

Json = Any
"""A JSON value: what `json.loads` can return."""


def canonical(value: Json) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8. Raises ValueError on NaN and infinity, which JSON cannot hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def readable(value: Json) -> bytes:
    """The same value for people: sorted, indented, one trailing newline."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def sha256(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Json) -> str:
    """Hex SHA-256 over the canonical JSON of `value`."""
    return sha256(canonical(value))
