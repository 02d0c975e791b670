"""The side of every node but node 0."""

import queue
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sftjobs.agent.group.base import Check, Doubt, Group, GroupEnded, News, infrastructure, lost
from sftjobs.agent.group.channel import Channel
from sftjobs.agent.group.messages import (
    Answer,
    Dump,
    End,
    Failed,
    Finished,
    Hello,
    Message,
    Proposal,
    Save,
    Saved,
    Start,
    Stop,
    Stopped,
    Whereabouts,
    Written,
)
from sftjobs.agent.whereabouts import Place
from sftjobs.attempts import Termination

POLL_S = 0.05
CONNECT_S = 5.0
RETRY_S = 0.25
VERDICT_S = 90.0
"""Node 0 says in this time how the attempt ended: after ranks have failed, it still completes a checkpoint."""


class Peer(Group):
    """Connects when it is entered; the name of node 0 may not be known yet, and nobody may listen yet."""

    watches_progress = False

    def __init__(
        self,
        node: int,
        nonce: str,
        address: tuple[str, int],
        say: Callable[[str], None],
        on_stop: Callable[[], None],
    ) -> None:
        """`address` of node 0. `on_stop`: all nodes are asked to stop."""
        self._node = node
        self._nonce = nonce
        self._address = address
        self._say = say
        self._on_stop = on_stop
        self._changed = threading.Condition()
        self._channel: Channel | None = None
        self._proposals: queue.SimpleQueue[Proposal] = queue.SimpleQueue()
        self.orders: queue.SimpleQueue[int] = queue.SimpleQueue()
        """Steps whose part of the checkpoint is to be uploaded."""
        self._port: int | None = None
        self._end: Termination | None = None
        self._dump = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            self._channel.close()

    def connect(self, patience_s: float, check: Check) -> None:
        """Find node 0. Raises GroupEnded after `patience_s` seconds; whatever `check` raises."""
        began, last = time.monotonic(), ""
        while True:
            check()
            try:
                connection = socket.create_connection(self._address, CONNECT_S)
                break
            except OSError as error:  # no such name yet, nobody listens yet, no route yet
                if str(error) != last:
                    self._say(f"node 0 at {self._address[0]}:{self._address[1]}: {error}; trying again")
                    last = str(error)
            if time.monotonic() - began > patience_s:
                message = f"node 0 did not answer within {patience_s:.0f} s (limits.group_wait_s): {last}"
                raise GroupEnded(infrastructure(message))
            time.sleep(RETRY_S)
        self._channel = Channel(connection, self._hear, self._lose)
        self._channel.send(Hello(nonce=self._nonce, node=self._node))
        self._channel.start()

    def answer(self, problem: str = "") -> None:
        self._send(Answer(problem=problem))

    def instruction(self, check: Check) -> Proposal | int:
        """What to do next: fetch what is proposed, or start the ranks with this MASTER_PORT.

        Raises GroupEnded; whatever `check` raises.
        """
        while True:
            if self._port is not None:
                return self._port
            if self._end is not None:
                raise GroupEnded(self._end)
            check()
            try:
                return self._proposals.get(timeout=POLL_S)
            except queue.Empty:
                continue

    def news(self) -> News:
        with self._changed:
            dump, self._dump = self._dump, False
            return News(dump=dump, end=self._end)

    def ask_to_stop(self) -> None:
        self._send(Stop())

    def ask_for_stacks(self) -> None:
        """Node 0 asks for them."""

    def share(self, places: list[Place]) -> list[Place]:
        self._send(Whereabouts(places=places))
        return places

    def written(self, steps: list[int]) -> None:
        self._send(Written(steps=steps))

    def saved(self, step: int, problem: str = "") -> None:
        self._send(Saved(step=step, problem=problem))

    def settle(self, own: Termination, doubt: Doubt) -> Termination:
        """See Group; node 0 decides, if it was ever found."""
        if self._channel is None:
            return own
        self._send(Failed(termination=own, doubt=doubt))
        return self.verdict(VERDICT_S) or own

    def finished(self) -> None:
        self._send(Finished())

    def stopped(self) -> None:
        self._send(Stopped())

    def verdict(self, patience_s: float) -> Termination | None:
        """Wait for node 0's word on how the attempt ended; None after `patience_s` seconds."""
        deadline = time.monotonic() + patience_s
        while self._end is None and time.monotonic() < deadline:
            with self._changed:
                self._changed.wait(POLL_S)
        return self._end

    def _send(self, message: Message) -> None:
        assert self._channel is not None
        self._channel.send(message)

    def _hear(self, message: Message) -> None:
        with self._changed:
            match message:
                case Proposal():
                    self._proposals.put(message)
                case Start():
                    self._port = message.port
                case Save():
                    self.orders.put(message.step)
                case Stop():
                    self._on_stop()
                case Dump():
                    self._dump = True
                case End():
                    self._end = self._end or message.termination
                case _:
                    self._say(f"node 0 says {message.kind!r}, which is not for a peer")
            self._changed.notify_all()

    def _lose(self, reason: str) -> None:
        with self._changed:
            self._end = self._end or lost(0, reason)
            self._changed.notify_all()
