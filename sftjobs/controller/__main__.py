"""`python -m sftjobs.controller`: see `sftjobs.release.controller`."""

import sys

from sftjobs.release.controller import main

if __name__ == "__main__":
    sys.exit(main())
