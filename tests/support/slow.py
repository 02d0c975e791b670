"""Parameters of a test of which a few are enough every time."""

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], *fast: Any) -> list[Any]:
    """`values` for `parametrize`, all but those in `fast` marked slow.

    Raises ValueError if one of `fast` is no value.
    """
    every = list(values)
    if unknown := [one for one in fast if one not in every]:
        raise ValueError(f"no values of this test: {unknown}")
    return [one if one in fast else pytest.param(one, marks=pytest.mark.slow) for one in every]
