"""50 controllers on this machine against one API server; their stage pods are on kwok nodes, which run in name only.

The part of the agents is played by the bench: for every intent that a controller records it commits the stage, once.
Each run has a store of its own, so that what is in it is from one controller.

python -m tests.bench.many_controllers FOLDER NAMESPACE NAME      one controller
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import Configuration

from sftjobs import names
from sftjobs.artifact import stages
from sftjobs.backend.kubernetes import KubernetesBackend
from sftjobs.controller.loop import run_chain
from sftjobs.kube.api import Api
from sftjobs.objects import JobSettings
from sftjobs.plan.types import RunPlan
from sftjobs.release.chain import TICK_S
from sftjobs.runs import Owner, create_run, read_attempts
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.run import StoreSpec
from sftjobs.store.folder import FolderStore
from tests.support.audit import AuditLog, job_creates
from tests.support.chains import chain_plan, finish_chain
from tests.support.committing import commit_stage
from tests.support.lab import ROOT, Cluster

RUNS = 50
STAGES = {"data": [], "train": ["data"], "eval": ["train"]}
DEADLINE_S = 900.0
ON_KWOK = ClusterSpec.model_validate(
    {
        "pods": {
            "all": {
                "node_selector": {"type": "kwok"},
                "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}],
            }
        }
    }
)


def run_name(number: int) -> str:
    return f"many-{number}"


class OneRun:
    """The store of one run, and what was committed in it."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name = run_name(number)
        self.plan = chain_plan(STAGES, name=self.name)
        self.store = FolderStore(folder / self.name / "store")
        owner = Owner(user="bench", host="here", backend="kubernetes", run=self.name, created=1.0)
        self.run_id = create_run(self.store, self.plan, b"name: many\n", owner)
        (folder / self.name / "plan.json").write_text(self.plan.model_dump_json(), encoding="utf-8")
        self._scratch = folder / self.name / "scratch"

    def commit_what_was_asked_for(self) -> None:
        for stage, attempts in read_attempts(self.store, self.run_id).items():
            plan = attempts[-1].intent.plan
            if stages.read_commit(self.store, plan.kind, plan.key) is None:
                commit_stage(self.store, plan, self._scratch, {"out.txt": stage.encode()})

    def commits(self) -> int:
        return sum(entry.key.endswith(f"/{names.COMMIT}") for entry in self.store.list(names.STAGES))


def bench_many(cluster: Cluster, audit: AuditLog) -> None:
    """Start them all at once, and look at what the API server and the stores say in the end."""
    with (
        tempfile.TemporaryDirectory(prefix="sftjobs-many-", dir="/dev/shm") as folder,
        cluster.namespace("many") as namespace,
    ):
        cluster.apply(*[account(namespace, run_name(number)) for number in range(RUNS)])
        runs = [OneRun(Path(folder), number) for number in range(RUNS)]
        began = time.monotonic()
        controllers = [start(cluster, Path(folder), namespace, run.name) for run in runs]
        try:
            codes = play_the_agents(runs, controllers)
        finally:
            for process in controllers:
                process.kill()
        seconds = time.monotonic() - began
        requests = [entry for entry in audit.read(namespace) if entry.agent == "sftjobs"]
        made = job_creates(requests)
        refused = [entry for entry in requests if entry.code == 429]
        tries = sum(len(found) for run in runs for found in read_attempts(run.store, run.run_id).values())
        print(f"{RUNS} controllers: {seconds:.0f} s, {len(requests)} requests, exit codes {sorted(set(codes))}")
        expected = RUNS * len(STAGES)
        good = not refused and set(codes) == {0} and len(made) == tries == expected
        value = f"{len(refused)} x 429, {len(made)} Jobs"
        print(
            f"{'50 controllers at once':72} {value:>24}   goal no 429, {expected} Jobs {'met' if good else 'NOT MET'}"
        )
        assert all(run.commits() == len(STAGES) for run in runs), "a stage was committed twice or never"
        assert good


def account(namespace: str, run: str) -> dict[str, Any]:
    metadata = {"name": names.service_account_name(run, "data"), "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def start(cluster: Cluster, folder: Path, namespace: str, name: str) -> "subprocess.Popen[bytes]":
    """A controller as a process; its output goes to a file beside its store."""
    with (folder / name / "controller.log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.bench.many_controllers", str(folder), namespace, name],
            cwd=ROOT,
            env=cluster.environ,
            stdout=output,
            stderr=output,
        )


def play_the_agents(runs: list[OneRun], controllers: "list[subprocess.Popen[bytes]]") -> list[int]:
    """Commit what is asked for until every controller has ended; returns their exit codes."""
    deadline = time.monotonic() + DEADLINE_S
    while any(process.poll() is None for process in controllers):
        assert time.monotonic() < deadline, "not every run ends"
        for run in runs:
            run.commit_what_was_asked_for()
        time.sleep(0.2)
    return [int(process.returncode) for process in controllers]


def controller(folder: Path, namespace: str, name: str) -> int:
    """What the controller of a release does, on a plan without real programs."""

    def load() -> Configuration:
        configuration = Configuration()
        config.load_kube_config(client_configuration=configuration)
        return configuration

    wake = threading.Event()
    backend = KubernetesBackend(Api(load, namespace), name, on_change=wake.set)
    plan = RunPlan.model_validate_json((folder / name / "plan.json").read_bytes())
    store = FolderStore(folder / name / "store")
    (run_id,) = store.list_folders(names.RUNS)
    settings = JobSettings(store=StoreSpec(uri="s3://bucket/prefix"), cluster=ON_KWOK, namespace=namespace)
    verdict = run_chain(store, plan, run_id, backend, settings=settings, finish=finish_chain, tick_s=TICK_S, wake=wake)
    print(json.dumps(verdict.model_dump(mode="json")))
    return int(verdict.exit_code)


if __name__ == "__main__":
    sys.exit(controller(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
