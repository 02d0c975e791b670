"""Runs a server and ends it with everything it started, also when whoever wanted it is gone without a word.

    python server_guard.py COMMAND [ARGUMENT ...]

The guard leads a process group of its own. It waits for its standard input to end: whoever started it closes it, or
dies and so closes it too. Then the group gets SIGTERM, and once the server has ended, or after `PATIENCE_S` seconds,
SIGKILL. Only the standard library, as it is a process of its own that has to start at once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

PATIENCE_S = 10


def main(command: list[str]) -> int:
    """The exit code of the server, 128 + signal if one ended it."""
    # The guard sends it to the whole group. A handler and not SIG_IGN: the server would inherit that, and be deaf.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    asked = threading.Event()
    ending = threading.Thread(target=_end_with_input, args=(server, asked), daemon=True)
    ending.start()
    code = server.wait()
    if asked.is_set():
        ending.join()  # it kills the whole group, this process included
    os.killpg(0, signal.SIGTERM)  # workers that outlive the server
    return code if code >= 0 else 128 - code


def _end_with_input(server: subprocess.Popen[bytes], asked: threading.Event) -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock would be in the way of the guard's own end
        pass
    asked.set()
    os.killpg(0, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
