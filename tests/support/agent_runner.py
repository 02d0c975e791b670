"""Start real agents on a folder store, without a controller.

bench = AgentBench(tmp_path)
plan = bench.plan(config={"steps": 5, "checkpoint_every": 2})
agent = bench.start(plan, attempt=0)
assert agent.wait() == Exit.COMMITTED
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sftjobs import names
from sftjobs.agent.ranks import free_port
from sftjobs.artifact import stages
from sftjobs.artifact.digest import artifact_digest, hash_file
from sftjobs.attempts import Heartbeat, Intent, Termination
from sftjobs.canonical import digest, readable, sha256
from sftjobs.plan.types import External, FileEntry, FinishedInput, Kind, Manifest, Operation, Resources, StagePlan
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.folder import FolderStore

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = REPOSITORY / "tests" / "agent" / "programs"
PYTHON_PATH = os.pathsep.join([str(REPOSITORY), str(PROGRAMS)])
"""Of agents and their programs."""
RUN_ID = "test-run-1"
DEADLINE_S = 60.0


def until(condition: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Poll; fails the test with `what` if the condition does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for: {what}"
        time.sleep(0.01)


def external_file(path: Path) -> FinishedInput:
    """A local file as an input of a finished stage."""
    size, sha256 = hash_file(path)
    entry = FileEntry(path=path.name, size=size, sha256=sha256)
    return FinishedInput(external=External(source=str(path), digest=sha256, files=[entry]))


@dataclass
class RunningAgent:
    """An agent process and what it leaves on this machine."""

    process: "subprocess.Popen[bytes]"
    work: Path
    termination_log: Path
    output: Path

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        return self.process.wait(timeout_s)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    @property
    def termination(self) -> Termination:
        return Termination.model_validate_json(self.termination_log.read_bytes())

    @property
    def text(self) -> str:
        """Everything it wrote to stdout and stderr."""
        return self.output.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        """Every process that works in its folder, the agent included."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(names.ENV_WORKDIR) == str(self.work):
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


class AgentBench:
    """A store (a folder, if none is given) and a place for working folders."""

    def __init__(self, path: Path, store: Store | None = None, spec: StoreSpec | None = None) -> None:
        """`spec`: how the agents come to the store, if not as `store` does."""
        self.path = path
        self.store = store or FolderStore(path / "store")
        self._spec = spec or StoreSpec(uri=self.store.uri)
        self.started: list[RunningAgent] = []
        self.ports: dict[int, int] = {}
        """Where the agent of node 0 listens, by attempt."""

    def plan(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        program: str = "counter",
        kind: Kind = "train",
        stage: str = "train",
        inputs: Mapping[str, FinishedInput] | None = None,
        resources: Resources | None = None,
        operation: Operation | None = None,
    ) -> StagePlan:
        """A stage plan; equal config and inputs have an equal key."""
        values = dict(config or {"steps": 6, "checkpoint_every": 2})
        inputs = dict(inputs or {})
        key_json = {"config": values, "inputs": {name: item.digest for name, item in inputs.items()}}
        return StagePlan(
            run="test-run",
            stage=stage,
            kind=kind,
            program=program,
            key=digest(key_json),
            key_json=key_json,
            config=values,
            inputs=inputs,
            resources=resources or Resources(threads_per_process=1),
            operation=operation or Operation(grace_s=20),
        )

    def start(
        self, plan: StagePlan, attempt: int = 0, extra: Mapping[str, str] | None = None, work: Path | None = None
    ) -> RunningAgent:
        """Record the intent as a controller does, and start the agent."""
        intent = Intent(run_id=RUN_ID, attempt=attempt, job=f"test-{plan.stage}-a{attempt}", plan=plan, created=0.0)
        self.store.create(names.intent(RUN_ID, plan.stage, attempt), readable(intent.model_dump(mode="json")))
        number = len(self.started)
        work = work or self.path / f"work-{number}"
        work.mkdir(exist_ok=True)
        output = self.path / f"output-{number}.log"
        environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SFTJOBS_", "TEST_AT_"))},
            names.ENV_STORE: self._spec.model_dump_json(),
            names.ENV_RUN_ID: RUN_ID,
            names.ENV_STAGE: plan.stage,
            names.ENV_ATTEMPT: str(attempt),
            names.ENV_NODE_RANK: "0",
            names.ENV_WORKDIR: str(work),
            names.ENV_TERMINATION_LOG: str(self.path / f"termination-{number}"),
            "PYTHONPATH": PYTHON_PATH,
            **(extra or {}),
        }
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "sftjobs.agent"], cwd=work, env=environ, stdout=file, stderr=file
            )
        agent = RunningAgent(process, work, Path(environ[names.ENV_TERMINATION_LOG]), output)
        self.started.append(agent)
        return agent

    def start_group(
        self, plan: StagePlan, attempt: int = 0, extra: Mapping[int, Mapping[str, str]] | None = None
    ) -> list[RunningAgent]:
        """One agent for each node of the plan; `extra` variables by node."""
        return [self.start_node(plan, node, attempt, (extra or {}).get(node)) for node in range(plan.resources.nodes)]

    def start_node(
        self, plan: StagePlan, node: int, attempt: int = 0, extra: Mapping[str, str] | None = None
    ) -> RunningAgent:
        """The agent of one node; those of an attempt find each other."""
        port = self.ports.setdefault(attempt, free_port())
        group = {names.ENV_NODE_RANK: str(node), names.ENV_LEADER: f"127.0.0.1:{port}"}
        return self.start(plan, attempt, {**group, **(extra or {})})

    def run(self, plan: StagePlan, attempt: int = 0, extra: Mapping[str, str] | None = None) -> RunningAgent:
        """Start and wait for the end."""
        agent = self.start(plan, attempt, extra)
        agent.wait()
        return agent

    def manifest(self, plan: StagePlan) -> Manifest | None:
        """The committed manifest, checked against the objects; None if there is no COMMIT."""
        commit = stages.read_commit(self.store, plan.kind, plan.key)
        if commit is None:
            return None
        manifest = stages.read_manifest(self.store, plan.kind, plan.key, commit)
        stages.check_sizes(self.store, plan.kind, plan.key, manifest)
        return manifest

    def digest(self, plan: StagePlan) -> str:
        manifest = self.manifest(plan)
        assert manifest is not None, "not committed"
        return manifest.digest

    def log(self, plan: StagePlan, attempt: int = 0, node: int = 0) -> str:
        """The log as it is in the store."""
        prefix = names.log_prefix(RUN_ID, plan.stage, attempt, node)
        return b"".join(self.store.get(entry.key).body for entry in self.store.list(prefix)).decode()

    def heartbeat(self, plan: StagePlan, attempt: int = 0, node: int = 0) -> Heartbeat:
        return Heartbeat.model_validate_json(self.store.get(names.heartbeat(RUN_ID, plan.stage, attempt, node)).body)

    def close(self) -> None:
        """End what a failed test left behind."""
        for agent in self.started:
            if agent.process.poll() is None:
                agent.process.kill()
            agent.process.wait()
            for process in agent.family():
                process.kill()


def expected_digest(steps: int, ranks: int = 1) -> str:
    """Digest of what tests/agent/programs/counter.py leaves if nothing ever interrupts it."""
    entries = []
    for rank in range(ranks):
        state = ""
        for step in range(1, steps + 1):
            state = sha256(f"{state}{step}{rank}".encode())
        entries.append(FileEntry(path=f"state-{rank}.txt", size=len(state), sha256=sha256(state.encode())))
    return artifact_digest(entries)


def handles_term(agent: RunningAgent) -> bool:
    """True once the agent has its handler for TERM."""
    try:
        status = Path(f"/proc/{agent.process.pid}/status").read_text()
    except OSError:
        return False
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)
