"""Started as a file by the agent for each rank: tie this process to the agent's life, then become the program.

The kernel keeps the tie over exec. It is made here and not between fork and exec of the agent, where running Python
is not safe in a process with threads. Only the standard library: this costs each rank about 15 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """argv: pid of the agent, then the command."""
    agent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != agent:  # it died before the tie was made
        sys.exit(128 + signal.SIGKILL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
