"""The base of every document that is written or read: strict, frozen, no unknown keys."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A typed JSON or YAML document. Unknown keys are refused and nothing can be changed after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
