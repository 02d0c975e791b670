"""The process backend keeps the contract of backends."""

from pathlib import Path

import pytest

from sftjobs.backend.folders import folder_of
from sftjobs.backend.process import ProcessBackend
from sftjobs.objects import JobSettings
from sftjobs.spec.run import StoreSpec
from tests.support.chains import RUN_ID
from tests.support.conformance import NAME, Conformance


class ProcessBench:
    """Jobs as processes below one folder."""

    settings = JobSettings(store=StoreSpec(uri="/srv/store"))
    patience_s = 60.0

    def __init__(self, work: Path) -> None:
        self._work = work

    def backend(self) -> ProcessBackend:
        return ProcessBackend(self._work)

    def output(self) -> str:
        log = folder_of(self._work, RUN_ID, NAME) / "0" / "output.log"
        return log.read_text() if log.exists() else ""


class TestProcessBackend(Conformance):
    @pytest.fixture
    def bench(self, root: Path) -> ProcessBench:
        return ProcessBench(root / "work")
