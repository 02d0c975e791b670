"""Files of a repository on a hub, at one commit."""

import os
import shutil
from pathlib import Path
from typing import Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from sftjobs.errors import DataError, StoreError
from sftjobs.program import Program

Kind = Literal["model", "dataset"]
_FIELD = {"model": "model.token", "dataset": "data.hub_token"}


def download(
    program: Program,
    repository: str,
    revision: str | None,
    kind: Kind,
    patterns: list[str],
    folder: Path,
    without: list[str] | None = None,
) -> None:
    """Download what matches `patterns` into `folder`, with the token that the plan names.

    Raises DataError (no such repository, or no permission), StoreError (the hub cannot be reached).
    """
    name = f"hf://{'datasets/' if kind == 'dataset' else ''}{repository}"
    variable = program.plan.operation.secrets.get("hub_token")
    try:
        snapshot_download(
            repository,
            repo_type=kind,
            revision=revision,
            token=os.environ.get(variable) if variable else None,
            allow_patterns=patterns,
            ignore_patterns=without,
            local_dir=folder,
        )
    except RepositoryNotFoundError as error:  # the hub does not tell a missing one from one without permission
        hint = f"the token in {variable}" if variable else f"`{_FIELD[kind]}` (none is given)"
        what = "model" if kind == "model" else "data set"
        raise DataError(f"{name}: no such {what} on the hub, or no permission: check the name and {hint}") from error
    except LocalEntryNotFoundError as error:
        raise StoreError(f"{name}: the hub cannot be reached: {error}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        text = f"{name}@{revision}: the hub answers {status}: {error}"
        raise (DataError(text) if status in (401, 403, 404) else StoreError(text)) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of the download, which differ from time to time
