"""A disk that cannot take what is written is not the training's fault: another attempt may succeed elsewhere."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from sftjobs.errors import SftError

_LITTLE = 16 * 2**20  # bytes; libraries write in blocks and leave less than one when the disk is full


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Errors while `what` is written to the existing `folder` become SftError; it says so if the disk is full.

    Libraries hide the cause: torch raises RuntimeError about a position in the file, safetensors an error of its own.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        free = shutil.disk_usage(folder).free
        if free < _LITTLE:
            reason = f"the disk is full ({free // 2**20} MiB free): give the stage more resources.train.disk_gib"
        elif isinstance(error, RuntimeError):
            raise
        else:
            reason = str(error)
        raise SftError(f"{what}: cannot be written: {reason}") from error
