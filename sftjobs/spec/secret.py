"""Secrets in run.yaml and cluster.yaml."""

from typing import Annotated

from pydantic import Field

from sftjobs.model import Document


class FromEnv(Document):
    """A secret: never a value, only the name of the environment variable that holds it."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the environment variable."""
