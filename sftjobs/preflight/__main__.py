"""`python -m sftjobs.preflight`: see `sftjobs.preflight.main`."""

import sys

from sftjobs.preflight.main import main

if __name__ == "__main__":
    sys.exit(main())
