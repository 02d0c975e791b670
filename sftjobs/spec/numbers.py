"""Ranges of numbers that several fields have."""

from typing import Annotated, Literal

from pydantic import Field

Auto = Literal["auto"]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
"""Part of a whole, neither nothing nor everything."""
Share = Annotated[float, Field(ge=0, le=1)]
"""Part of a whole."""
