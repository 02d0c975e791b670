"""`python -m sftjobs` is `sftjobs`."""

from sftjobs.cli.main import main

main()
