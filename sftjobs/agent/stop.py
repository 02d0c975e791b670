"""The request to stop: TERM from the backend, or Ctrl-C where the agent runs in a terminal."""

import signal
import time


class StopRequested(Exception):  # noqa: N818 - not an error
    """Raised between two steps of the agent, while there is nothing to save."""


class Stop:
    """Only remembers; whoever waits for something looks here."""

    def __init__(self) -> None:
        self.count = 0
        self.since = 0.0
        """Monotonic time of the first request."""
        self.presses = 0
        """How often it was Ctrl-C: a person who presses it twice does not want to wait."""

    @classmethod
    def on_signals(cls) -> "Stop":
        """Handle TERM and INT from now on."""
        stop = cls()
        signal.signal(signal.SIGTERM, stop.request)
        signal.signal(signal.SIGINT, stop.request)
        return stop

    def request(self, number: int = signal.SIGTERM, _frame: object = None) -> None:
        """Also usable as a signal handler. A repeated TERM asks for nothing new: each controller may send its own."""
        self.since = self.since or time.monotonic()
        self.count += 1
        self.presses += number == signal.SIGINT

    @property
    def requested(self) -> bool:
        return self.count > 0

    def time_is_up(self, grace_s: float) -> bool:
        """Whether what was asked to stop is to be ended by force."""
        return self.presses > 1 or time.monotonic() - self.since > grace_s

    def check(self) -> None:
        """Raise StopRequested if so; called with every chunk of a transfer, to interrupt it."""
        if self.requested:
            raise StopRequested
