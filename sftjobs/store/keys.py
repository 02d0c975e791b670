"""Which keys a store accepts. The same rule for every backend, so that an artifact can move between them."""

from sftjobs import names

TEMPORARY = ".tmp-"
"""Start of the file names under which the folder store writes before an object exists."""
LOCKS = ".locks"
"""Top-level folder of the folder store with its lock files."""
MAX_PART = 200
"""Bytes in one part of a key: file systems allow 255, and temporary names need some."""
MAX_KEY = 1024
"""Bytes in a key: the limit of S3."""


def why_not(key: str) -> str | None:
    """The rule that `key` breaks, or None if it can name an object or a file of an artifact."""
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if len(encoded) > MAX_KEY:
        return f"is longer than {MAX_KEY} bytes"
    if "\\" in key or not key.isprintable():
        return "has a backslash or a character that cannot be printed"
    for part in key.split("/"):
        if part in ("", ".", ".."):
            return "is not a plain relative path: it has an empty part, '.' or '..'"
        if part.startswith(TEMPORARY):
            return f"has a part that starts with {TEMPORARY!r}, which is reserved for unfinished writes"
        if len(part.encode()) > MAX_PART:
            return f"has a part longer than {MAX_PART} bytes"
    return None


def is_hidden(top: str) -> bool:
    """True if the top-level name `top` is no part of a folder store."""
    return top in (names.STORE_LOCAL, LOCKS)


def check(key: str) -> str:
    """`key` itself; raises ValueError if it cannot name an object. Keys are made by the project, not typed by users."""
    reason = why_not(key)
    if reason is None and is_hidden(key.partition("/")[0]):
        reason = "starts with a name that is reserved in a store"
    if reason is not None:
        raise ValueError(f"store key {key!r} {reason}")
    return key
