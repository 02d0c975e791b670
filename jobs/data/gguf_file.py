"""Let transformers read a GGUF file without doing the same work hundreds of times. The numbers stay the same.

Of SmolLM2-135M (49,000 tokens, 30 layers) transformers parses the header three times, through `numpy.memmap`, whose
every slice costs microseconds, and makes the table of tensor names once for each of its 397 modules. With this the
header is parsed once, through a plain array over the same mapped file, and the table is made once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import gguf
import numpy as np
from numpy.typing import DTypeLike, NDArray


class _PlainReader(gguf.GGUFReader):
    """The reader of gguf with slices that are plain arrays: a slice of `numpy.memmap` runs Python code twice."""

    def _get(self, offset: int, dtype: DTypeLike, count: int = 1, override_order: Any = None) -> NDArray[Any]:
        if isinstance(self.data, np.memmap):
            self.data = np.asarray(self.data)  # type: ignore[assignment]
        return super()._get(offset, dtype, count, override_order)


@contextmanager
def read_once() -> Iterator[None]:
    """Inside, transformers reads through the quick reader and remembers what it has read."""
    given = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader = cache(_PlainReader)  # type: ignore[misc, assignment]
    gguf.get_tensor_name_map = cache(gguf.get_tensor_name_map)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = given  # type: ignore[misc]
