"""`python -m sftjobs.controller`: see `sftjobs.release.controller`."""

import os
import signal
import sys

from sftjobs.names import Exit

if __name__ == "__main__":
    if os.getpid() == 1:  # in a pod: process 1 does not hear TERM until it says so, and the import takes a second
        signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(int(Exit.STOPPED)))
    from sftjobs.release.controller import main

    sys.exit(main())
