"""python -m sftjobs.agent"""

import sys

from sftjobs.agent.main import main

if __name__ == "__main__":
    sys.exit(main())
