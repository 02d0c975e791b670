"""Jobs as processes: started once, adopted, ended, never mistaken for another. The agents are shell scripts.

What every backend must do is in tests/support/conformance.py; here is what only processes can show.
"""

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from sftjobs import names
from sftjobs.attempts import Termination
from sftjobs.backend.base import JobStatus
from sftjobs.backend.folders import folder_of
from sftjobs.backend.process import ProcessBackend
from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.types import Operation, Resources
from sftjobs.spec.run import StoreSpec
from tests.support.chain_runs import until
from tests.support.chains import RUN_ID, intent

SETTINGS = JobSettings(store=StoreSpec(uri="/srv/store"))
NAME = "demo-a-a0"
SAY = f"""echo '{{"failure": "%s", "code": %d}}' > ${names.ENV_TERMINATION_LOG}"""
COMMITTED = SAY % ("committed", 0)
STOPPED = SAY % ("stopped", 20)
SLEEP = "while :; do sleep 0.02; done"


def shell_job(script: str, nodes: int = 1, **operation: Any) -> dict[str, Any]:
    """The Job of an attempt whose agent is a shell script."""
    asked = intent("a")
    settings = {"grace_s": 5, **operation}
    plan = asked.plan.model_copy(
        update={"resources": Resources(nodes=nodes), "operation": Operation(**settings)},
    )
    job = build_job(asked.model_copy(update={"plan": plan}), SETTINGS)
    job["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", script]
    return job


@pytest.fixture
def work(root: Path) -> Path:
    return root / "work"


@pytest.fixture
def backend(work: Path) -> ProcessBackend:
    return ProcessBackend(work)


def status(backend: ProcessBackend) -> JobStatus:
    (found,) = backend.list(RUN_ID)
    return found


def ended(backend: ProcessBackend) -> Termination:
    found: JobStatus = until(lambda: (s := status(backend)).phase == "ended" and s, "the job has ended")
    assert found.termination is not None
    return found.termination


def running(backend: ProcessBackend, work: Path, said: str = "ready") -> int:
    """Pid of agent 0, once it has printed `said`."""
    folder = folder_of(work, RUN_ID, NAME) / "0"

    def started() -> bool:
        assert status(backend).phase != "ended"
        return (folder / "output.log").exists() and said in (folder / "output.log").read_text()

    until(started, "the agent has started")
    return int((folder / "pid").read_text())


def test_a_job_from_start_to_end(backend: ProcessBackend, work: Path) -> None:
    script = f"pwd; echo ${names.ENV_WORKDIR} ${names.ENV_NODE_RANK} ${names.ENV_STAGE}; touch big; {COMMITTED}"
    backend.create(shell_job(script))
    assert ended(backend).failure == "committed"
    folder = folder_of(work, RUN_ID, NAME) / "0"
    scratch = str(folder / "volumes" / "scratch")
    assert (folder / "output.log").read_text().split() == [scratch, scratch, "0", "a"]
    assert not Path(scratch).exists(), "scratch is given back"
    found = status(ProcessBackend(work))
    assert (found.phase, found.stage, found.attempt) == ("ended", "a", 0)
    assert found.started is not None
    assert found.finished is not None
    assert found.finished >= found.started


def test_creating_again_changes_nothing(backend: ProcessBackend, work: Path) -> None:
    backend.create(shell_job(f"echo ready; {SLEEP}"))
    pid = running(backend, work)
    backend.create(shell_job("echo another"))
    ProcessBackend(work).create(shell_job("echo another"))
    assert running(backend, work) == pid
    backend.delete(RUN_ID, NAME, grace_s=0)
    ended(backend)


def test_many_starters_one_agent(work: Path) -> None:
    job = shell_job(f"echo ready >> ../../../starts; {COMMITTED}")
    starters = [threading.Thread(target=ProcessBackend(work).create, args=(job,)) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    ended(ProcessBackend(work))
    assert (folder_of(work, RUN_ID, NAME) / "starts").read_text() == "ready\n"


def test_a_recorded_job_is_started_by_the_next_controller(backend: ProcessBackend, work: Path) -> None:
    backend.create(shell_job(COMMITTED))
    ended(backend)
    folder = folder_of(work, RUN_ID, NAME)
    for path in (folder / "ended.json", folder / "0" / "pid", folder / "0" / "termination"):
        path.unlink()
    assert ended(ProcessBackend(work)).failure == "committed"


def test_a_killed_agent_is_infrastructure_and_its_children_end(backend: ProcessBackend, work: Path) -> None:
    backend.create(shell_job(f"setsid sleep 600 & echo child $!; echo ready; {SLEEP}"))
    pid = running(backend, work)
    child = int((folder_of(work, RUN_ID, NAME) / "0" / "output.log").read_text().split()[1])
    os.kill(pid, signal.SIGKILL)
    said = ended(backend)
    assert (said.failure, said.code) == ("infrastructure", 21)
    assert "killed" in said.message
    until(lambda: not _lives(child), "its child has ended")


def test_an_adopted_agent_speaks_for_itself(backend: ProcessBackend, work: Path) -> None:
    backend.create(shell_job(f"echo ready; until [ -e ../../../go ]; do sleep 0.02; done; {STOPPED}"))
    running(backend, work)
    second = ProcessBackend(work)
    assert status(second).phase == "running"
    (folder_of(work, RUN_ID, NAME) / "go").touch()
    assert ended(second).failure == "stopped"
    assert ended(backend).failure == "stopped"


def test_a_pid_of_another_process_is_not_the_agent(backend: ProcessBackend, work: Path) -> None:
    backend.create(shell_job(f"echo ready; {SLEEP}"))
    pid = running(backend, work)
    os.kill(pid, signal.SIGKILL)
    (folder_of(work, RUN_ID, NAME) / "0" / "pid").write_text(str(os.getpid()))
    assert ended(ProcessBackend(work)).failure == "infrastructure"
    backend.list(RUN_ID)


def test_a_session_of_a_stranger_with_the_pid_of_a_dead_agent_is_left_alone(
    backend: ProcessBackend, work: Path
) -> None:
    backend.create(shell_job(f"echo ready; {SLEEP}"))
    os.kill(running(backend, work), signal.SIGKILL)
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        (folder_of(work, RUN_ID, NAME) / "0" / "pid").write_text(str(stranger.pid))
        assert ended(ProcessBackend(work)).failure == "infrastructure"
        assert stranger.poll() is None
        stranger.kill()
    backend.list(RUN_ID)


def test_an_agent_that_cannot_be_started_is_infrastructure(backend: ProcessBackend) -> None:
    job = shell_job("")
    job["spec"]["template"]["spec"]["containers"][0]["command"] = ["/no/such/program"]
    backend.create(job)
    said = ended(backend)
    assert said.failure == "infrastructure"
    assert "could not be started" in said.message
    assert "/no/such/program" in said.message


def test_a_missing_secret_is_named(work: Path) -> None:
    backend = ProcessBackend(work, environ={"PATH": os.environ["PATH"]})
    backend.create(shell_job(COMMITTED, secrets={"hub_token": "HF_TOKEN"}))
    said = ended(backend)
    assert (said.failure, said.code) == ("config", 10)
    assert "HF_TOKEN is not set" in said.message
    assert "export HF_TOKEN" in said.message


def test_secrets_come_from_the_environment_and_are_not_recorded(work: Path) -> None:
    backend = ProcessBackend(work, environ={"PATH": os.environ["PATH"], "HF_TOKEN": "hf_secret"})
    backend.create(shell_job(f"[ ${{#HF_TOKEN}} = 9 ] && {COMMITTED}", secrets={"hub_token": "HF_TOKEN"}))
    assert ended(backend).failure == "committed"
    files = [path for path in folder_of(work, RUN_ID, NAME).rglob("*") if path.is_file()]
    assert not [path for path in files if b"hf_secret" in path.read_bytes()]


@pytest.mark.parametrize("restarted", [False, True])
def test_force_after_the_grace(backend: ProcessBackend, work: Path, restarted: bool) -> None:
    backend.create(shell_job(f"trap '' TERM; echo ready; {SLEEP}", grace_s=600))
    pid = running(backend, work)
    backend.delete(RUN_ID, NAME)
    assert status(backend).phase == "running", "the grace has not passed"
    backend.delete(RUN_ID, NAME, grace_s=0)
    judge = ProcessBackend(work) if restarted else backend
    assert ended(judge).failure == "infrastructure"
    backend.list(RUN_ID)
    assert not _lives(pid)


def test_a_request_to_stop_outlives_its_controller(backend: ProcessBackend, work: Path) -> None:
    backend.create(shell_job(f"trap 'echo told; exit 20' TERM; echo ready; {SLEEP}", grace_s=600))
    running(backend, work)
    folder = folder_of(work, RUN_ID, NAME)
    (folder / "delete.json").write_text('{"kill_at": 1e12}')
    ended(ProcessBackend(work))
    assert "told" in (folder / "0" / "output.log").read_text()
    backend.list(RUN_ID)


def test_an_attempt_that_runs_too_long_is_stopped(backend: ProcessBackend, work: Path) -> None:
    job = shell_job(f"trap 'exit 20' TERM; echo ready; {SLEEP}")
    job["spec"]["activeDeadlineSeconds"] = 0
    backend.create(job)
    said = ended(backend)
    assert (said.failure, said.code) == ("hang", 22)
    assert "limits.stage_time_s" in said.message


def test_jobs_of_other_runs_are_not_listed(backend: ProcessBackend) -> None:
    backend.create(shell_job(COMMITTED))
    ended(backend)
    assert backend.list("demo-ffffffffff") == []
    backend.delete("demo-ffffffffff", NAME)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
