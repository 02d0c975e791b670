"""Every way in which a program can fail: exit code, class and message."""

import json
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact import checkpoints
from sftjobs.attempts import Termination
from sftjobs.names import Exit
from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.types import Operation, Resources
from sftjobs.spec.cluster import ClusterSpec, PodSpec, PodsSpec
from sftjobs.spec.run import StoreSpec
from tests.support.agent_runner import AgentBench, until
from tests.support.chains import intent
from tests.support.disks import small_file_system


@pytest.mark.parametrize(
    ("action", "failure", "code", "message"),
    [
        ("raise:it broke", "user", 1, "RuntimeError: it broke"),
        ("data-error:line 3 is cut", "config", 10, "line 3 is cut"),
        ("crash-on-the-way-out:line 3 is cut", "config", 10, "line 3 is cut"),
        ("exit:11", "checkpoint", 11, "rank 0 ended with exit code 11; its last lines of log say why"),
        ("exit:21", "infrastructure", 21, "rank 0 ended with exit code 21; its last lines of log say why"),
        ("exit:5", "user", 1, "rank 0 ended with exit code 5; its last lines of log say why"),
        ("exit:20", "infrastructure", 21, "rank 0 was told to stop by somebody else than its agent"),
        ("kill", "infrastructure", 21, "rank 0 was killed from outside (KILL), not for memory"),
        ("throw:too long", "user", 1, "rank 0 ended by signal SIGABRT: std::length_error: too long"),
        ("abort:", "user", 1, "rank 0 ended by signal SIGABRT; its last lines of log say why"),
        ("segfault", "user", 1, "rank 0 crashed in native code (SIGSEGV); its stack is at the end of the log"),
    ],
)
def test_a_failing_program(bench: AgentBench, action: str, failure: str, code: int, message: str) -> None:
    plan = bench.plan()
    agent = bench.run(plan, extra={"TEST_AT_3": action})
    assert agent.process.returncode == code, agent.text
    assert agent.termination.model_dump(exclude={"checkpoint"}) == {
        "failure": failure, "code": code, "rank": 0, "step": 2, "message": message,
    }  # fmt: skip
    assert bench.manifest(plan) is None
    assert f"{failure} (exit {code})" in bench.log(plan)
    assert not any(entry.key.endswith(names.LEASE) for entry in bench.store.list(names.STAGES))
    if action == "segfault":
        assert "Fatal Python error: Segmentation fault" in bench.log(plan)
        assert "in misbehave" in bench.log(plan)


def test_a_hanging_program_leaves_its_stacks(bench: AgentBench) -> None:
    plan = bench.plan(operation=Operation(hang_after_s=1, grace_s=2))
    agent = bench.run(plan, extra={"TEST_AT_3": "hang"})
    assert agent.process.returncode == Exit.HANG
    assert agent.termination.failure == "hang"
    assert agent.termination.step == 2
    log = bench.log(plan)
    assert "s: stacks of all ranks follow" in log
    assert "in misbehave" in log
    assert agent.family() == []


def test_a_program_that_fails_leaves_its_checkpoint(bench: AgentBench) -> None:
    plan = bench.plan({"steps": 6, "checkpoint_every": 2})
    agent = bench.run(plan, extra={"TEST_AT_5": "raise:it broke"})
    assert agent.termination.checkpoint == 4
    assert next(found.step for found in checkpoints.list_checkpoints(bench.store, plan.kind, plan.key)) == 4


def test_the_first_failing_rank_is_named(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan(resources=Resources(processes_per_node=2, threads_per_process=1))
    agent = bench.run(plan, extra={"TEST_AT_2": "1/raise:out of luck"})
    assert agent.process.returncode == Exit.USER_ERROR
    assert (agent.termination.rank, agent.termination.message) == (1, "RuntimeError: out of luck")


def test_a_crash_after_all_is_done_changes_nothing(bench: AgentBench) -> None:
    plan = bench.plan()
    agent = bench.run(plan, extra={"TEST_AT_3": "crash-on-the-way-out:"})
    assert agent.process.returncode == Exit.COMMITTED, agent.text
    assert bench.manifest(plan) is not None


def test_a_rank_that_has_said_why_but_is_not_gone_yet(bench: AgentBench) -> None:
    """The other one has noticed that something is wrong, and has ended."""
    plan = bench.plan(resources=Resources(processes_per_node=2, threads_per_process=1))
    agent = bench.run(plan, extra={"TEST_AT_2": "1/said-and-slow:line 3 is cut", "TEST_AT_3": "0/exit:21"})
    assert agent.process.returncode == Exit.BAD_CONFIG, agent.text
    assert (agent.termination.rank, agent.termination.message) == (1, "line 3 is cut")


def test_a_full_disk_does_not_take_the_message(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan()
    with small_file_system(tmp_path / "disk", "512k") as disk:
        agent = bench.run(plan, extra={"TEST_AT_3": f"fill:{disk}", names.ENV_WORKDIR: str(disk / "work")})
    assert agent.process.returncode == Exit.INFRASTRUCTURE, agent.text
    assert agent.termination.message.startswith("it is full: [Errno 28]")


def test_a_program_that_leaves_nothing(bench: AgentBench) -> None:
    agent = bench.run(bench.plan({}, program="silent"))
    assert agent.process.returncode == Exit.USER_ERROR
    assert agent.termination.message == "the program ended well but wrote nothing to content/"


def test_a_program_that_does_not_exist(bench: AgentBench) -> None:
    plan = bench.plan({}, program="jobs.nothing_here")
    agent = bench.run(plan)
    assert agent.process.returncode == Exit.USER_ERROR
    assert "No module named jobs.nothing_here" in bench.log(plan)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "SFTJOBS_LEADER is not set, and the plan has 2 nodes: write host:port of node 0"),
        ({names.ENV_LEADER: "node0"}, "SFTJOBS_LEADER: 'node0' is not host:port"),
        (
            {names.ENV_NODE_RANK: "2", names.ENV_LEADER: "node0:1"},
            "JOB_COMPLETION_INDEX: 2, but the plan has 2 node(s)",
        ),
    ],
)
def test_a_node_that_does_not_know_its_group(bench: AgentBench, extra: dict[str, str], message: str) -> None:
    agent = bench.run(bench.plan(resources=Resources(nodes=2)), extra=extra)
    assert agent.process.returncode == Exit.BAD_CONFIG
    assert message in agent.termination.message


def test_an_attempt_that_nobody_planned(bench: AgentBench) -> None:
    agent = bench.start(bench.plan(), extra={names.ENV_ATTEMPT: "7"})
    assert agent.wait() == Exit.BAD_CONFIG
    assert "7.intent.json does not exist: no controller has planned this attempt" in agent.termination.message
    assert "Traceback" not in agent.text


def test_a_missing_environment_is_named_whole(bench: AgentBench) -> None:
    agent = bench.start(bench.plan(), extra={names.ENV_STORE: "", names.ENV_RUN_ID: ""})
    assert agent.wait() == Exit.BAD_CONFIG
    assert "needs SFTJOBS_STORE, SFTJOBS_RUN_ID in its environment" in agent.termination.message


def test_a_wrong_store_is_explained(bench: AgentBench) -> None:
    agent = bench.start(bench.plan(), extra={names.ENV_STORE: json.dumps({"uri": "ftp://x"})})
    assert agent.wait() == Exit.BAD_CONFIG
    assert agent.termination.message == "store: 'ftp://x' is neither a folder nor s3://bucket/prefix"


def test_secrets_are_redacted_everywhere(bench: AgentBench) -> None:
    plan = bench.plan(operation=Operation(secrets={"hub_token": "MY_TOKEN"}))
    extra = {
        "MY_TOKEN": "hunter2-hunter2",
        "TEST_AT_1": "print:token hunter2-hunter2!",
        "TEST_AT_2": "raise:hunter2-hunter2",
    }
    agent = bench.run(plan, extra=extra)
    assert "token [redacted]!" in bench.log(plan)
    assert agent.termination.message == "RuntimeError: [redacted]"
    assert "hunter2" not in bench.log(plan) + agent.text


def test_secrets_that_the_cluster_gives_a_program_are_redacted(bench: AgentBench) -> None:
    """`pods.*.secret_env` of cluster.yaml: no plan knows them."""
    spec = ClusterSpec(pods=PodsSpec(all=PodSpec(secret_env=["WANDB_API_KEY"]), data=PodSpec(secret_env=["OTHER"])))
    job = build_job(intent("data"), JobSettings(store=StoreSpec(uri="s3://b/x"), cluster=spec))
    given = {item["name"]: item.get("value", "") for item in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    extra = {
        names.ENV_SECRETS: given[names.ENV_SECRETS],
        "WANDB_API_KEY": "hunter2-hunter2",
        "OTHER": "correct-horse",
        "TEST_AT_1": "print:hunter2-hunter2 and correct-horse!",
    }
    plan = bench.plan()
    agent = bench.run(plan, extra=extra)
    assert "[redacted] and [redacted]!" in bench.log(plan)
    assert "hunter2" not in bench.log(plan) + agent.text


def test_an_outage_of_the_store_does_not_end_the_training(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan()
    agent = bench.start(plan, extra={"TEST_AT_3": f"wait:{tmp_path}"})
    until(lambda: (tmp_path / "reached-0").exists(), "step 3")
    store, away = tmp_path / "store", tmp_path / "away"
    store.rename(away)
    store.symlink_to(store)  # a path that leads nowhere: every access fails
    (tmp_path / "go").touch()
    until(lambda: "will be tried again" in agent.text, "the first vain upload")
    store.unlink()
    away.rename(store)
    assert agent.wait() == Exit.COMMITTED, agent.text
    assert bench.manifest(plan) is not None


def test_an_outage_that_lasts_is_infrastructure(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan(operation=Operation(hang_after_s=3))
    agent = bench.start(plan, extra={"TEST_AT_3": f"wait:{tmp_path}"})
    until(lambda: (tmp_path / "reached-0").exists(), "step 3")
    store = tmp_path / "store"
    store.rename(tmp_path / "away")
    store.symlink_to(store)
    (tmp_path / "go").touch()
    assert agent.wait() == Exit.INFRASTRUCTURE
    assert Termination.model_validate_json(agent.termination_log.read_bytes()).failure == "infrastructure"


def test_an_image_of_another_release_claims_nothing(bench: AgentBench) -> None:
    plan = bench.plan()
    program = {"libraries": {"pydantic": "1.0"}}
    plan = plan.model_copy(update={"key_json": {**plan.key_json, "program": program}})
    info = {"version": "1", "revision": "abc", "variant": "cpu", "base": "b", "source_digest": None, "libraries": {}}
    path = bench.path / "build-info.json"
    path.write_text(json.dumps(info), encoding="utf-8")
    agent = bench.run(plan, extra={names.ENV_BUILD_INFO: str(path)})
    assert agent.process.returncode == Exit.BAD_CONFIG, agent.text
    assert agent.termination.message.startswith("the run was planned with pydantic 1.0, this image has ")
    assert not any("/inc/" in entry.key for entry in bench.store.list(names.STAGES))
