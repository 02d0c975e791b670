"""Runs on a folder that lives in memory where there is one: fsync costs nothing there."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chain_runs import ChainRun
from tests.support.whole_run import WholeRun, make_inputs

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


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """A whole run that nobody touched; tests that change anything work on a copy of it."""
    whole = WholeRun(make_inputs(tmp_path_factory.mktemp("whole") / "run"))
    (whole.folder / "first.txt").write_text(whole.cli("run"), encoding="utf-8")
    return whole


@pytest.fixture
def whole_copy(undisturbed: WholeRun, tmp_path: Path) -> Iterator[WholeRun]:
    """The undisturbed run in another folder, with a store of its own."""
    whole = undisturbed.copy(tmp_path / "run")
    yield whole
    whole.kill_all()
