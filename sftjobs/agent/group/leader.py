"""Node 0's side of the group. With a single node it is a group without anybody to talk to."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
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
    decode,
)
from sftjobs.agent.whereabouts import Place
from sftjobs.attempts import Termination

POLL_S = 0.05
HELLO_S = 10.0
"""A connection that does not say in this time who it is, is not of this group."""
COMPLAINT_S = 6.0
"""Ranks whose peer is gone end within moments; the one that was the first is reported in this time.

An agent gives its other ranks `supervise.PEERS_S` and their pipes `attempt.PIPES_S` before it reports.
"""
GOODBYE_S = 10.0
"""Peers have so long to hear how it ended."""
MAX_HELLO = 4096


@dataclass(frozen=True)
class _Failure:
    """What a peer said when its ranks had failed."""

    node: int
    doubt: Doubt
    moment: float
    """Monotonic time."""
    termination: Termination


def _by_doubt(failure: _Failure) -> tuple[Doubt, float]:
    return failure.doubt, failure.moment


class Leader(Group):
    """Listens as soon as it is entered; what peers say is kept until somebody asks for it."""

    def __init__(
        self, nodes: int, nonce: str, port: int, say: Callable[[str], None], on_stop: Callable[[], None]
    ) -> None:
        """`nodes` with this one; `port` is not used for a single node. `on_stop`: a peer was asked to stop."""
        self._nodes = nodes
        self._nonce = nonce
        self._port = port
        self._say = say
        self._on_stop = on_stop
        self._changed = threading.Condition()
        self._channels: dict[int, Channel] = {}
        self._answers: dict[int, Answer] = {}
        self._written: dict[int, list[int]] = {}
        self._saved: dict[int, Saved] = {}
        self._places: dict[int, list[Place]] = {}
        self._finished: set[int] = set()
        self._stopped: set[int] = set()
        self._failures: list[_Failure] = []
        """Of peers, in the order in which they were told."""
        self._lost: tuple[int, str] | None = None
        self._gone: set[int] = set()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        if self._nodes > 1:
            self._listener = _listen(self._port, self._nodes)
            threading.Thread(target=self._accept, name="group-accept", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        for channel in list(self._channels.values()):
            channel.close()

    # --- before the ranks start

    def gather(self, patience_s: float, check: Check) -> None:
        """Wait until every node is here. Raises GroupEnded after `patience_s` seconds; whatever `check` raises."""
        began = time.monotonic()
        said = began
        while True:
            missing = [node for node in self._others if node not in self._channels]
            if not missing:
                return
            self._not_lost()
            check()
            now = time.monotonic()
            if now - began > patience_s:
                message = f"{numbered(missing)} did not come within {patience_s:.0f} s (limits.group_wait_s)"
                raise GroupEnded(infrastructure(message))
            if now - said > 30:
                self._say(f"waiting for {numbered(missing)}")
                said = now
            self.wait()

    def propose(self, incarnation: int, step: int | None, saved_by: int | None) -> None:
        """Let every peer fetch its part of a checkpoint (None: of nothing)."""
        self._answers.clear()
        self._tell(Proposal(incarnation=incarnation, step=step, saved_by=saved_by))

    def problems(self, check: Check) -> list[str]:
        """Wait for the answers to the last proposal: what was wrong with the checkpoint. Raises GroupEnded."""
        self._until(lambda: len(self._answers) == self._nodes - 1, check)
        return [f"node {node}: {answer.problem}" for node, answer in sorted(self._answers.items()) if answer.problem]

    def start(self, port: int) -> None:
        self._tell(Start(port=port))

    # --- while they run

    def news(self) -> News:
        with self._changed:
            return News(end=self._first_failure())

    def ask_to_stop(self) -> None:
        self._tell(Stop())

    def ask_for_stacks(self) -> None:
        self._tell(Dump())

    def share(self, places: list[Place]) -> list[Place]:
        with self._changed:
            return places + [place for told in self._places.values() for place in told]

    def written(self, steps: list[int]) -> list[int]:
        """Those of the steps that every peer has, too."""
        with self._changed:
            return [step for step in steps if not self._lacking(step)]

    def wait_for_parts(self, step: int, patience_s: float) -> None:
        """Until every peer has the checkpoint of a step that is complete here, or cannot have it any more."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            with self._changed:
                if self._lost is not None or not self._lacking(step) - self._ended:
                    return
            self.wait()

    def order(self, step: int) -> None:
        """Let every peer upload its part of the checkpoint of `step`."""
        with self._changed:
            self._saved = {node: saved for node, saved in self._saved.items() if saved.step == step}
        self._tell(Save(step=step))

    def uploaded(self, step: int, check: Check) -> list[str]:
        """Wait until all parts of the ordered checkpoint are in the store; problems that waiting does not solve.

        Ranks that have failed do not matter as long as their agents are there. Raises GroupEnded if one is not;
        whatever `check` raises.
        """
        while sum(saved.step == step for saved in self._saved.values()) < self._nodes - 1:
            if self._lost is not None:
                raise GroupEnded(lost(*self._lost))
            check()
            self.wait()
        return [f"node {node}: {saved.problem}" for node, saved in sorted(self._saved.items()) if saved.problem]

    # --- the end

    def settle(self, own: Termination, doubt: Doubt) -> Termination:
        """See Group. What peers report in the next moments counts if it leaves less doubt, and so does a lost node."""
        deadline = time.monotonic() + (COMPLAINT_S if doubt and self._nodes > 1 else 0.0)
        while time.monotonic() < deadline and not self._known_cause():
            self.wait()
        with self._changed:
            better = [failure for failure in self._failures if failure.doubt < doubt]
            if better:
                return min(better, key=_by_doubt).termination
            return lost(*self._lost) if doubt and self._lost else own

    def after_stop(self, own: Termination, forced: float, unsaved: int | None) -> Termination:
        """The ranks here have ended on request. What has failed elsewhere counts, if it leaves no doubt.

        With doubt it counts if it kept a node from writing its part of the step `unsaved`, which the ranks here have
        written. From the monotonic time `forced` on ranks are ended by force: others may fail for that.
        """
        deadline = time.monotonic() + COMPLAINT_S
        while time.monotonic() < deadline and self._ended < set(self._others) and not self._known_cause():
            self.wait()
        with self._changed:
            kept = unsaved is not None and bool(self._failed & self._lacking(unsaved))
            failures = [one for one in self._failures if one.moment < forced and (kept or one.doubt is Doubt.NONE)]
        return min(failures, key=_by_doubt).termination if failures else own

    def unfinished(self) -> list[int]:
        """Nodes that have not said that all of their ranks have ended well."""
        with self._changed:
            return [node for node in self._others if node not in self._finished]

    def has_stopped(self) -> bool:
        """Whether a node has ended its ranks on request, before their work was done."""
        with self._changed:
            return bool(self._stopped)

    def wait(self) -> None:
        """Until a peer has said something, for a moment at most."""
        with self._changed:
            self._changed.wait(POLL_S)

    def end(self, termination: Termination) -> None:
        """Tell everybody how it ended, and wait a little until they have heard it."""
        self._tell(End(termination=termination))
        deadline = time.monotonic() + GOODBYE_S
        while time.monotonic() < deadline and self._gone < set(self._channels):
            self.wait()

    # --- inside

    @property
    def _others(self) -> range:
        return range(1, self._nodes)

    @property
    def _failed(self) -> set[int]:
        return {failure.node for failure in self._failures}

    @property
    def _ended(self) -> set[int]:
        """Nodes that have no running ranks any more."""
        return self._finished | self._stopped | self._failed

    def _lacking(self, step: int) -> set[int]:
        """Peers on which the checkpoint of a step is not complete."""
        return {node for node in self._others if step not in self._written.get(node, ())}

    def _tell(self, message: Message) -> None:
        for channel in list(self._channels.values()):
            channel.send(message)

    def _until(self, condition: Callable[[], bool], check: Check) -> None:
        while not condition():
            self._not_lost()
            check()
            self.wait()

    def _not_lost(self) -> None:
        with self._changed:
            failure = self._first_failure()
        if failure is not None:
            raise GroupEnded(failure)

    def _known_cause(self) -> bool:
        with self._changed:
            return self._lost is not None or any(failure.doubt is Doubt.NONE for failure in self._failures)

    def _first_failure(self) -> Termination | None:
        """A peer that knows why it failed comes before one that is gone, and that before one that is in doubt.

        While there is nothing but doubt, others may still say more.
        """
        first = min(self._failures, key=_by_doubt, default=None)
        if first is not None and first.doubt is Doubt.NONE:
            return first.termination
        if self._lost is not None:
            return lost(*self._lost)
        if first is not None and time.monotonic() - self._failures[0].moment > COMPLAINT_S:
            return first.termination
        return None

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the attempt is over
                return
            threading.Thread(target=self._welcome, args=(connection,), name="group-hello", daemon=True).start()

    def _welcome(self, connection: socket.socket) -> None:
        node = self._identify(connection)
        if node is None:
            connection.close()
            return
        channel = Channel(connection, lambda message: self._hear(node, message), lambda why: self._lose(node, why))
        with self._changed:
            self._channels[node] = channel
            self._changed.notify_all()
        channel.start()
        self._say(f"node {node} is here")

    def _identify(self, connection: socket.socket) -> int | None:
        """The node rank of whoever connects; None if it is not of this attempt."""
        connection.settimeout(HELLO_S)
        line = b""
        try:
            while not line.endswith(b"\n") and len(line) < MAX_HELLO:
                byte = connection.recv(1)
                if not byte:
                    return None
                line += byte
            hello = decode(line)
        except (OSError, ValueError):
            return None
        fits = isinstance(hello, Hello) and hello.nonce == self._nonce and hello.node in self._others
        return hello.node if fits and isinstance(hello, Hello) and hello.node not in self._channels else None

    def _hear(self, node: int, message: Message) -> None:
        with self._changed:
            match message:
                case Answer():
                    self._answers[node] = message
                case Written():
                    self._written[node] = message.steps
                case Saved():
                    self._saved[node] = message
                case Whereabouts():
                    self._places[node] = message.places
                case Finished():
                    self._finished.add(node)
                case Stopped():
                    self._stopped.add(node)
                case Failed():
                    self._failures.append(_Failure(node, message.doubt, time.monotonic(), message.termination))
                case Stop():
                    self._on_stop()
                case _:
                    self._say(f"node {node} says {message.kind!r}, which is not for node 0")
            self._changed.notify_all()

    def _lose(self, node: int, reason: str) -> None:
        with self._changed:
            self._gone.add(node)
            if node not in self._finished and self._lost is None:
                self._lost = (node, reason)
            self._changed.notify_all()


def _listen(port: int, backlog: int) -> socket.socket:
    """On all addresses, of both kinds where the machine has both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=backlog)


def numbered(missing: list[int]) -> str:
    """Nodes, for people."""
    shown = ", ".join(str(node) for node in missing[:8])
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    return f"node{'s' if len(missing) > 1 else ''} {shown}{more}"
