"""One recorded run in a folder store with the real process backend, in this process or in one that a test may kill."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from sftjobs import names
from sftjobs.backend.process import ProcessBackend
from sftjobs.controller.loop import Controls, run_chain
from sftjobs.controller.stage_reader import StageReader
from sftjobs.objects import JobSettings
from sftjobs.plan.types import RunPlan
from sftjobs.runs import Owner, Verdict, create_run, current_session, read_attempts, read_verdict
from sftjobs.spec.run import StoreSpec
from sftjobs.store.folder import FolderStore
from tests.support.chains import chain_plan, finish_chain

PROGRAM = "tests.support.stage_program"
OWNER = Owner(user="tester", host="here", backend="process", run="demo", created=1.0)


class ChainRun:
    """A store, a plan and a place to work in, all below one folder."""

    def __init__(self, root: Path, plan: RunPlan) -> None:
        self.root = root
        self.plan = plan
        self.store = FolderStore(root / "store")
        self.work = root / "work"
        self.run_id = create_run(self.store, plan, b"name: demo\n", OWNER)
        self.settings = JobSettings(store=StoreSpec(uri=self.store.uri))
        self.reports: list[str] = []

    @classmethod
    def make(cls, root: Path, stages: Mapping[str, Sequence[str]], **more: Any) -> "ChainRun":
        """Every stage runs `stage_program` with the config in `configs`; `more` as in `chain_plan`."""
        programs = dict.fromkeys(stages, PROGRAM)
        return cls(root, chain_plan(stages, programs=programs, **{"backoff_s": 0.0, **more}))

    def backend(self) -> ProcessBackend:
        return ProcessBackend(self.work)

    def run(
        self, controls: Controls | None = None, on_tick: Callable[[Any], None] | None = None, request: str | None = None
    ) -> Verdict:
        """The controller in this process."""
        return run_chain(
            self.store,
            self.plan,
            self.run_id,
            self.backend(),
            settings=self.settings,
            finish=finish_chain,
            on_tick=on_tick,
            on_success=lambda: self.reports.append("built"),
            controls=controls,
            tick_s=0.02,
            request=request,
        )

    def start_elsewhere(self, crash_at: str = "") -> "subprocess.Popen[bytes]":
        """The controller in a process of its own; it ends with the exit code of the verdict."""
        (self.root / "plan.json").write_text(self.plan.model_dump_json())
        environ = {**os.environ, names.ENV_CRASH_AT: crash_at}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.chain_runs", str(self.root)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def fork(self, crash_at: str, on_tick: Callable[[Any], None] | None = None) -> BaseProcess:
        """The controller in a fork of this process, which costs no imports; a machine restarts it, not a person."""

        def controller() -> None:
            os.environ[names.ENV_CRASH_AT] = crash_at
            os._exit(int(self.run(on_tick=on_tick, request="the same").exit_code))

        process = multiprocessing.get_context("fork").Process(target=controller)
        process.start()
        return process

    def end_state(self) -> dict[str, Any]:
        """What must be equal after any crash: outputs, and how each attempt ended."""
        views = StageReader(self.store, self.plan, self.run_id, finish_chain).read()
        commits = [entry.key for entry in self.store.list(names.STAGES) if entry.key.endswith(f"/{names.COMMIT}")]
        return {
            "committed": [name for name, view in views.items() if view.committed],
            "commits": len(commits),
            "verdict": self.verdict(),
            "endings": self.endings(),
            "busy": self.live(),
        }

    def endings(self) -> dict[str, list[str | None]]:
        """Failure class of each attempt by stage; None for an open one."""
        return {
            stage: [attempt.result.termination.failure if attempt.result else None for attempt in attempts]
            for stage, attempts in read_attempts(self.store, self.run_id).items()
        }

    def verdict(self) -> str | None:
        """Outcome of the last session."""
        session = current_session(self.store, self.run_id)
        verdict = read_verdict(self.store, self.run_id, session.number) if session is not None else None
        return verdict.outcome if verdict is not None else None

    def claims(self) -> int:
        """Incarnations over all stages: one for each agent that got as far as that."""
        return sum(entry.key.endswith(f"/{names.CLAIM}") for entry in self.store.list(names.STAGES))

    def text(self, stage: str) -> str:
        """What the committed stage wrote."""
        view = StageReader(self.store, self.plan, self.run_id, finish_chain).read()[stage]
        assert view.plan is not None
        commit = json.loads(self.store.get(names.stage_prefix("data", view.plan.key) + names.COMMIT).body)
        inside = names.incarnation_prefix("data", view.plan.key, commit["incarnation"])
        return self.store.get(f"{inside}content/out.txt").body.decode()

    def live(self) -> list[int]:
        """Processes that work for this run."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(names.ENV_WORKDIR, "").startswith(str(self.work)):
                    found.append(process.pid)
            except (psutil.Error, OSError):
                continue
        return found

    def at_work(self) -> list[int]:
        """Agents and programs among them: not the shell that becomes an agent, nor what it calls on the way."""
        found = []
        for pid in self.live():
            try:
                if "python" in Path(psutil.Process(pid).exe()).name:
                    found.append(pid)
            except (psutil.Error, OSError):
                continue
        return found

    def kill_all(self) -> None:
        """For the end of a test that left agents at work."""
        for pid in self.live():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Poll until `condition` is true; fails loudly after the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def main(root: Path) -> int:
    plan = RunPlan.model_validate_json((root / "plan.json").read_bytes())
    controls = Controls()
    signal.signal(signal.SIGTERM, lambda *_: controls.leave())
    verdict = ChainRun(root, plan).run(controls)
    print(verdict.model_dump_json())
    return int(verdict.exit_code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
