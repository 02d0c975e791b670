"""`sftjobs logs -f` before there is a log: what is waited for, and when to stop waiting."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from sftjobs import names
from sftjobs.attempts import Intent, Result, Termination
from sftjobs.cli import logs
from sftjobs.errors import DataError
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.release.owner import owner_of
from sftjobs.runs import Verdict, add_event, begin_session, create_run, write_intent, write_result, write_verdict
from sftjobs.store.open import open_store
from tests.support.specs import make_facts, make_spec

FAILED = Verdict(outcome="failed", stage="data", failure="user", message="boom", finished=2.0)


class Run:
    """A recorded run; nothing of it has been started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_store("store", folder)
        self.plan = make(make_spec(), make_facts())
        self.run_id = create_run(self.store, self.plan, b"", owner_of("demo", "team"))
        begin_session(self.store, self.run_id, {}, [], time.time())

    def start(self) -> None:
        stage = finish(self.plan, "data", {})
        intent = Intent(run_id=self.run_id, attempt=0, job="demo-data-a0", plan=stage, created=time.time())
        write_intent(self.store, intent)

    def write(self, text: str) -> None:
        self.store.create(f"{names.log_prefix(self.run_id, 'data', 0, 0)}00000000.log", text.encode())

    def end(self) -> None:
        said = Termination(failure="user", code=1, message="boom")
        write_result(self.store, self.run_id, "data", Result(attempt=0, termination=said, started=1.0, finished=2.0))
        write_verdict(self.store, self.run_id, 0, FAILED)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(logs, "POLL_S", 0.05)
    monkeypatch.setattr(logs, "WAIT_S", 0.1)
    return Run(tmp_path)


def test_following_a_stage_from_before_its_pod_has_started(run: Run) -> None:
    """The log is on standard output, why there is none yet on standard error."""
    command = [str(Path(sys.executable).with_name("sftjobs")), "logs", "-f", "demo", "data", "--store", "store"]
    following = subprocess.Popen(command, cwd=run.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert following.stderr is not None
    assert following.stderr.readline() == "stage data is pending\n"
    run.start()
    reason = "pulling sftjobs/data:1"
    add_event(run.store, run.run_id, names.EVENT_WAITING, stage="data", attempt=0, reason=reason)
    assert following.stderr.readline() == f"stage data is waiting: {reason}\n"
    run.write("first line\n")
    time.sleep(1.5)
    run.end()
    shown, more = following.communicate(timeout=30)
    assert (shown, more, following.returncode) == ("first line\n", "", 0)


@pytest.mark.parametrize("stage", ["data", "train"])
def test_a_stage_that_is_never_started(run: Run, stage: str) -> None:
    """The run has failed before it: waiting would have no end."""
    threading.Timer(0.5, lambda: write_verdict(run.store, run.run_id, 0, FAILED)).start()
    done = CliRunner().invoke(logs.command, ["-f", "demo", stage, "--store", str(run.folder / "store")])
    assert isinstance(done.exception, DataError)
    assert f"stage {stage} of run {run.run_id} has not been started" in str(done.exception)
    assert done.stderr == f"stage {stage} is pending\n"
