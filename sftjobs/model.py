"""The base of every document that is written or read: strict, frozen, no unknown keys."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A typed JSON or YAML document. Unknown keys are refused and nothing can be changed after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def empty(value: Any) -> bool:
    """For `Field(exclude_if=empty)`: a field that came later is not written while it says nothing.

    What does not use it is written as before, so stage keys and digests stay what they were.
    """
    return not value
