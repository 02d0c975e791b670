"""Run a function in a forked child: to be killed there, or to run as another user."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def in_child(work: Callable[[], str]) -> tuple[int, str]:
    """Exit code of the child (negative: the signal that ended it) and the text that `work` returned."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            os.write(write, work().encode())
            code = 0
        finally:
            os._exit(code)  # no clean-up of what belongs to the parent
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def killed_at_line(work: Callable[[], object], nth: int, folder: str) -> bool:
    """Run `work` in a child that is killed before the nth line it executes in a source file under `folder`.

    Returns False if `work` ended before that.
    """

    def traced() -> str:
        left = nth

        def trace(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(folder):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        work()
        return ""

    code, _ = in_child(traced)
    assert code in (0, -signal.SIGKILL), f"the child ended with {code}"
    return code != 0
