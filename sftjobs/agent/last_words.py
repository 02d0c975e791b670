"""What the C++ runtime says on standard error when it ends a process: Python's error file knows nothing of that.

An exception that nobody catches in a thread of a library ends the whole process with SIGABRT: in a thread of gloo that
reads from a peer which is gone, or in the watchdog of NCCL.
"""

import re

from sftjobs.gpu_faults import is_cuda_error

_INSTANCE = re.compile(rb"terminate called after throwing an instance of '([^']+)'")
"""libstdc++: the type of the exception; its text is in the next line."""
_WHAT = re.compile(rb"\s*what\(\):\s*(.*)")
_OF_COMMUNICATION = ("c10::Dist", "gloo::")
MAX_TEXT = 500
"""Characters; torch adds the C++ stack to the text of its exceptions."""


class LastWords:
    """Listens to one rank. Complete once its pipe is closed."""

    def __init__(self) -> None:
        self._type = ""
        self._what = ""

    def hear(self, lines: bytes) -> None:
        """Whole lines, as they come."""
        for line in lines.splitlines():
            if found := _INSTANCE.search(line):
                self._type, self._what = found[1].decode(errors="replace"), ""
            elif self._type and not self._what and (found := _WHAT.match(line)):
                self._what = found[1].decode(errors="replace")[:MAX_TEXT]

    @property
    def text(self) -> str:
        """Type and message of the exception; empty if there was none."""
        return f"{self._type}: {self._what}" if self._what else self._type

    @property
    def of_communication(self) -> bool:
        """True if the exception says that another rank cannot be reached.

        The watchdog of NCCL wraps whatever it finds, so an error of CUDA on this rank as well: that is none.
        """
        return self._type.startswith(_OF_COMMUNICATION) and not is_cuda_error(self._what)
