"""Arguments and options that several verbs have."""

from pathlib import Path

import click

RUN_FILE = click.argument("file", type=click.Path(path_type=Path), default="run.yaml")
"""The run.yaml of a verb that plans."""

STORE = click.option(
    "--store",
    "store_uri",
    envvar="SFTJOBS_STORE_URI",
    metavar="URI",
    help="Store of the run; default: that of ./run.yaml, else ./.sftjobs.",
)
"""The store of a verb that takes the name of a run."""
