"""What every backend must do, whatever runs the Jobs. The agents are shell scripts, the Jobs those of `build_job`.

class TestMine(Conformance): with a fixture `bench` that returns a Bench
"""

import time
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from sftjobs import names
from sftjobs.attempts import Termination
from sftjobs.backend.base import Backend, BackendError, Job, JobStatus
from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.types import Operation, Resources
from tests.support.chain_runs import until
from tests.support.chains import RUN_ID, intent

SAY = f"""echo '{{"failure": "%s", "code": %d}}' > ${names.ENV_TERMINATION_LOG}"""
COMMITTED = SAY % ("committed", 0)
STOPPED = SAY % ("stopped", 20)
SLEEP = "while :; do sleep 0.1; done"
GOODBYE_S = 2
NAME = intent("a").job


class Bench(Protocol):
    """A place where Jobs run."""

    settings: JobSettings
    patience_s: float
    """Deadline of anything that a Job should come to."""

    def backend(self) -> Backend:
        """As another controller would make it."""

    def output(self) -> str:
        """What the agent of node 0 of the Job has printed so far."""


@dataclass
class Watched:
    """One Job of the stage `a`, started and looked at through one backend."""

    bench: Bench
    backend: Backend

    def create(self, script: str, nodes: int = 1, **operation: Any) -> None:
        self.backend.create(shell_job(self.bench, script, nodes, **operation))

    def status(self) -> JobStatus | None:
        found = self.backend.list(RUN_ID)
        assert len(found) <= 1
        return found[0] if found else None

    def until_printed(self, text: str) -> None:
        until(lambda: text in self.bench.output(), f"the agent has printed {text}", self.bench.patience_s)
        until(lambda: (s := self.status()) and s.phase == "running", "it is seen to run", self.bench.patience_s)

    def ending(self) -> Termination:
        """How it ended, or why it will never start."""

        def look() -> Termination | None:
            status = self.status()
            return (status.termination or status.hopeless) if status is not None else None

        found: Termination = until(look, "the job has ended", self.bench.patience_s)
        return found

    def until_over(self) -> JobStatus | None:
        """After a deletion: the Job has ended, or nothing knows it any more."""

        def over() -> bool:
            status = self.status()
            return status is None or status.phase == "ended"

        until(over, "the job is over", self.bench.patience_s)
        return self.status()


def shell_job(bench: Bench, script: str, nodes: int = 1, **operation: Any) -> Job:
    """The Job of an attempt whose agent is a shell script."""
    resources = Resources(nodes=nodes, threads_per_process=1, memory_gib=1, disk_gib=1)
    settings = Operation(**{"grace_s": 5, **operation})
    asked = intent("a")
    plan = asked.plan.model_copy(update={"resources": resources, "operation": settings})
    job = build_job(asked.model_copy(update={"plan": plan}), bench.settings)
    job["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", script]
    return job


class Conformance:
    """Inherit it and give it a fixture `bench`."""

    @pytest.fixture
    def job(self, bench: Bench) -> Watched:
        return Watched(bench, bench.backend())

    def test_a_job_from_start_to_end(self, job: Watched) -> None:
        marks = f"${names.ENV_WORKDIR}:${names.ENV_NODE_RANK}:${names.ENV_STAGE}:${names.ENV_RUN_ID}"
        job.create(f'[ -w "${names.ENV_WORKDIR}" ] && [ -w /tmp ] && echo {marks}; sleep 1; {COMMITTED}')
        assert job.ending().failure == "committed"
        printed = job.bench.output().strip().split(":")
        assert printed[1:] == ["0", "a", RUN_ID]
        found = job.status()
        assert found is not None
        assert (found.name, found.phase, found.stage, found.attempt) == (NAME, "ended", "a", 0)
        assert found.started is not None and found.finished is not None and found.finished >= found.started

    def test_phases_and_a_second_controller(self, job: Watched) -> None:
        job.create(f"trap 'exit 20' TERM; echo ready; {SLEEP}")
        assert job.status() is not None, "a Job that was made is listed at once"
        job.until_printed("ready")
        second = Watched(job.bench, job.bench.backend())
        until(lambda: (s := second.status()) and s.phase == "running", "the second sees it", job.bench.patience_s)
        second.backend.delete(RUN_ID, NAME)
        job.until_over()

    def test_creating_again_changes_nothing(self, job: Watched) -> None:
        job.create(f"echo first; sleep 2; {COMMITTED}")
        job.create("echo second; exit 1")
        Watched(job.bench, job.bench.backend()).create("echo third; exit 1")
        assert job.ending().failure == "committed"
        assert job.bench.output().split() == ["first"]

    def test_another_job_of_the_same_name_is_refused(self, job: Watched) -> None:
        job.create(COMMITTED)
        other = shell_job(job.bench, COMMITTED)
        other["metadata"]["annotations"][names.ANNOTATION_STAGE_KEY] = "f" * 64
        with pytest.raises(BackendError, match="exists already with"):
            job.backend.create(other)
        assert job.ending().failure == "committed"

    @pytest.mark.parametrize(("code", "failure"), [(1, "user"), (10, "config"), (21, "infrastructure"), (3, "user")])
    def test_no_last_word_but_an_exit_code(self, job: Watched, code: int, failure: str) -> None:
        job.create(f"echo no module named x; exit {code}")
        said = job.ending()
        assert (said.failure, said.code) == (failure, code)
        assert "no module named x" in said.message

    def test_the_last_word_counts_more_than_the_exit_code(self, job: Watched) -> None:
        job.create(f"{SAY % ('hang', 22)}; exit 1")
        assert (said := job.ending()).failure == "hang" and said.code == 22

    def test_a_missing_secret_is_named(self, job: Watched) -> None:
        job.create(COMMITTED, secrets={"hub_token": "HF_TOKEN"})
        said = job.ending()
        assert (said.failure, said.code) == ("config", 10)
        assert "HF_TOKEN" in said.message

    def test_delete_lets_the_agent_say_goodbye(self, job: Watched) -> None:
        job.create(f"trap 'sleep {GOODBYE_S}; exit 20' TERM; echo ready; {SLEEP}", grace_s=60)
        job.until_printed("ready")
        asked = time.monotonic()
        job.backend.delete(RUN_ID, NAME)
        found = job.until_over()
        assert GOODBYE_S - 0.5 <= time.monotonic() - asked < 30, "neither by force nor at the end of the grace"
        assert found is None or (found.termination is not None and found.termination.failure == "stopped")

    def test_delete_of_what_is_over_or_was_never_there(self, job: Watched) -> None:
        job.create(COMMITTED)
        job.ending()
        job.backend.delete(RUN_ID, NAME)
        job.until_over()
        job.backend.delete(RUN_ID, NAME)
        job.backend.delete(RUN_ID, "never-there")

    def test_delete_by_force(self, job: Watched) -> None:
        job.create(f"trap '' TERM; echo ready; {SLEEP}", grace_s=600)
        job.until_printed("ready")
        job.backend.delete(RUN_ID, NAME)
        time.sleep(1)
        assert (status := job.status()) is not None and status.phase == "running", "the grace has not passed"
        job.backend.delete(RUN_ID, NAME, grace_s=0)
        found = job.until_over()
        assert found is None or (found.termination is not None and found.termination.failure == "infrastructure")

    def test_an_attempt_that_runs_too_long_is_stopped(self, job: Watched) -> None:
        made = shell_job(job.bench, f"trap 'exit 20' TERM; echo ready; {SLEEP}")
        made["spec"]["activeDeadlineSeconds"] = 4
        job.backend.create(made)
        said = job.ending()
        assert (said.failure, said.code) == ("hang", 22)
        assert "limits.stage_time_s" in said.message

    def test_a_group_ends_with_its_first_failure(self, job: Watched) -> None:
        """What the peer says when it is stopped is a consequence."""
        peer = f"stop() {{ {STOPPED}; exit 20; }}; trap stop TERM; {SLEEP}"
        job.create(
            f"if [ ${names.ENV_NODE_RANK} = 0 ]; then sleep 4; {SAY % ('hang', 22)}; exit 22; else {peer}; fi", nodes=2
        )
        assert job.ending().failure == "hang"

    def test_jobs_of_other_runs_are_not_listed(self, job: Watched) -> None:
        job.create(COMMITTED)
        job.ending()
        assert job.backend.list("demo-ffffffffff") == []
