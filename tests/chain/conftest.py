"""Runs on a folder that lives in memory where there is one: fsync costs nothing there."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chain_runs import ChainRun

SHM = Path("/dev/shm")


@pytest.fixture
def root() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sftjobs-chain-", dir=SHM if SHM.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make(root: Path) -> Iterator[Callable[..., ChainRun]]:
    """Make a run; `root=` for a second one beside the first. Whatever it left running is ended."""
    made: list[ChainRun] = []

    def _make(stages: Any, **more: Any) -> ChainRun:
        made.append(ChainRun.make(more.pop("root", root), stages, **more))
        return made[-1]

    yield _make
    for chain in made:
        chain.kill_all()
