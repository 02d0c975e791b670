"""A bench per test; no process outlives it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_runner import AgentBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AgentBench]:
    bench = AgentBench(tmp_path)
    yield bench
    bench.close()
