"""The prompt that the data stage left: it says how answers are written."""

from pathlib import Path

from pydantic import ValidationError

from sftjobs.errors import DataError
from sftjobs.spec.prompt import PromptSpec


def read_prompt(path: Path) -> PromptSpec:
    """The prompt of the run. Raises DataError."""
    try:
        return PromptSpec.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path.name}: not the prompt that the data stage writes: {error}") from error
