"""Logs: what the ranks and the agent write is passed on at once and kept in the store in chunks.

A chunk is written when 1 MiB is waiting or some seconds have passed; at the end always. While the store is away the
newest `MAX_WAITING` bytes wait in memory.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import IO

from sftjobs.agent.redact import Redactor
from sftjobs.errors import AlreadyExistsError, StoreError
from sftjobs.store.base import Store

CHUNK_BYTES = 1 << 20
FIRST_FLUSH_S = 10.0
LAST_FLUSH_S = 60.0
GROWTH = 1.25
"""Each interval is so much longer than the one before: a person watches the beginning."""
MAX_WAITING = 64 << 20
READ_BYTES = 1 << 16
Hear = Callable[[bytes], None]


class Shipper:
    """Collects lines and writes them to `<prefix>000001.log` and so on, from a thread of its own."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._next = 0
        self._waiting = bytearray()
        self._dropped = 0
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="log shipper", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Add to the log; never waits for the store."""
        with self._condition:
            self._waiting += data
            excess = len(self._waiting) - MAX_WAITING
            if excess > 0:
                del self._waiting[:excess]
                self._dropped += excess
            if len(self._waiting) >= CHUNK_BYTES:
                self._condition.notify()

    def close(self, timeout_s: float) -> None:
        """Write what is left, trying for at most `timeout_s` seconds."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        interval = FIRST_FLUSH_S
        pause = 0.0
        while True:
            with self._condition:
                full = CHUNK_BYTES if pause == 0 else MAX_WAITING + 1  # while the store is away, only time counts
                self._condition.wait_for(partial(self._is_due, full), pause or interval)
                closed = self._closed
            if self._flush():
                interval, pause = min(interval * GROWTH, LAST_FLUSH_S), 0.0
                if closed and not self._waiting:
                    return
            else:
                pause = 1.0 if closed else FIRST_FLUSH_S
                if closed:
                    time.sleep(pause)

    def _is_due(self, full: int) -> bool:
        return self._closed or len(self._waiting) >= full

    def _flush(self) -> bool:
        """Write one chunk; True unless the store is away."""
        with self._condition:
            chunk = bytes(self._waiting[:CHUNK_BYTES])
            dropped = self._dropped
        if not chunk:
            return True
        note = f"[{dropped} bytes of log were lost while the store was away]\n".encode() if dropped else b""
        try:
            self._create(note + chunk)
        except StoreError:
            return False
        with self._condition:
            lost_since = self._dropped - dropped
            del self._waiting[: max(0, len(chunk) - lost_since)]
            self._dropped = max(0, lost_since - len(chunk))
        return True

    def _create(self, body: bytes) -> None:
        """A pod that was started again under the same attempt goes on after the chunks of its predecessor."""
        if self._next == 0:
            taken = [entry.key.rpartition("/")[2].removesuffix(".log") for entry in self._store.list(self._prefix)]
            self._next = max((int(name) for name in taken if name.isdecimal()), default=0) + 1
        while True:
            try:
                self._store.create(f"{self._prefix}{self._next:06d}.log", body)
            except AlreadyExistsError:
                self._next += 1
            else:
                self._next += 1
                return


class Log:
    """Where everything written goes: this process's own output at once, and the shipper. Redacted once, before both."""

    def __init__(self, secrets: Sequence[str], ship: Callable[[bytes], None]) -> None:
        self._secrets = list(secrets)
        self._ship = ship
        self._lock = threading.Lock()
        self._readers: list[threading.Thread] = []

    def say(self, message: str) -> None:
        """A line of the agent itself."""
        self._emit(f"agent: {self.redacted(message)}\n".encode(), 2)

    def redacted(self, text: str) -> str:
        """The text without known secrets."""
        redactor = Redactor(self._secrets)
        return (redactor.feed(text.encode()) + redactor.flush()).decode()

    def follow(self, stream: IO[bytes], descriptor: int, prefix: str, hear: Hear | None = None) -> None:
        """Pass on whole lines of a pipe to `descriptor` (1 or 2) until its end, each behind `prefix`.

        `hear` gets them, too: redacted, without the prefix, from the thread that reads.
        """
        reader = threading.Thread(target=self._read, args=(stream, descriptor, prefix.encode(), hear), daemon=True)
        reader.start()
        self._readers.append(reader)

    def wait(self, timeout_s: float) -> None:
        """Until the followed pipes are closed: a grandchild that keeps one open is not waited for longer."""
        deadline = time.monotonic() + timeout_s
        for reader in self._readers:
            reader.join(max(0.0, deadline - time.monotonic()))

    def _read(self, stream: IO[bytes], descriptor: int, prefix: bytes, hear: Hear | None) -> None:
        for lines in self._lines(stream):
            if hear is not None:
                hear(lines)
            self._emit(_prefixed(lines, prefix), descriptor)

    def _lines(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Redacted: one or more whole lines, or a part of one that is too long to wait for its end."""
        redactor = Redactor(self._secrets)
        line = b""
        with stream:
            while data := os.read(stream.fileno(), READ_BYTES):
                line += redactor.feed(data)
                whole, newline, line = line.rpartition(b"\n")
                if newline or len(line) > READ_BYTES:
                    yield whole + newline if newline else line
                    line = line if newline else b""
        rest = line + redactor.flush()
        if rest:
            yield rest + b"\n"

    def _emit(self, data: bytes, descriptor: int) -> None:
        with self._lock:
            self._ship(data)
            with suppress(OSError):  # whoever read our output has gone; the store still has it
                _write_all(descriptor, data)


def _prefixed(data: bytes, prefix: bytes) -> bytes:
    return b"".join(prefix + line for line in data.splitlines(keepends=True)) if prefix else data


def _write_all(descriptor: int, data: bytes) -> None:
    (sys.stdout if descriptor == 1 else sys.stderr).flush()
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
