"""One connection between two agents of a group."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from sftjobs.agent.group.messages import Message, Ping, decode, encode

PING_S = 2.0
SILENT_S = 30.0
"""A node that loses its power does not close its connections: so long a silence says the same."""
MAX_LINE = 1 << 20


class Channel:
    """Sends from any thread; reads in a thread of its own until the connection is gone.

    `on_message` and `on_lost` (once, with the reason) are called from that thread.
    """

    def __init__(
        self, connection: socket.socket, on_message: Callable[[Message], None], on_lost: Callable[[str], None]
    ) -> None:
        self._socket = connection
        self._on_message = on_message
        self._on_lost = on_lost
        self._sending = threading.Lock()
        self._closed = threading.Event()
        connection.settimeout(SILENT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        threading.Thread(target=self._read, name="group-read", daemon=True).start()
        threading.Thread(target=self._ping, name="group-ping", daemon=True).start()

    def send(self, message: Message) -> None:
        """Never raises: a connection that is gone is reported by the reader."""
        try:
            with self._sending:
                self._socket.sendall(encode(message))
        except OSError:
            self._shut()

    def close(self) -> None:
        """Without a report."""
        self._closed.set()
        self._shut()
        self._socket.close()

    def _shut(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        reason = "its connection was closed"
        try:
            with self._socket.makefile("rb") as lines:
                while line := lines.readline(MAX_LINE):
                    message = decode(line)
                    if not isinstance(message, Ping):
                        self._on_message(message)
        except TimeoutError:
            reason = f"it was silent for {SILENT_S:.0f} s"
        except (OSError, ValueError) as error:
            reason = f"its connection failed: {error}"
        reported = self._closed.is_set()
        self.close()
        if not reported:
            self._on_lost(reason)

    def _ping(self) -> None:
        while not self._closed.wait(PING_S):
            self.send(Ping())
