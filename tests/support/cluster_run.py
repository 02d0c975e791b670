"""A whole run on a cluster as a user does it: `sftjobs push`, `helm install`, a look now and then, `helm uninstall`.

run = ClusterRun(whole, cluster, namespace, endpoint)
run.push()
run.install()
run.wait_until_ended()
run.assert_as_undisturbed(other)
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from sftjobs import __version__, names
from sftjobs.attempts import Heartbeat
from sftjobs.controller.status import RunState, run_state
from sftjobs.errors import NotFoundError
from sftjobs.plan.types import RunPlan
from sftjobs.runs import list_runs, read_plan
from sftjobs.store.open import open_store
from tests.support.lab import ROOT, Cluster, Object
from tests.support.pod_store import SECRET, PodStore
from tests.support.whole_run import STAGES, WholeRun

CHART = ROOT / "charts" / "sft-run"
PATIENCE_S = 600.0
"""Deadline of anything that a run should come to; the machine is small and images are cold."""
RUN_OBJECTS = "jobs,pods,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,secrets"
OURS = {"configmap/kube-root-ca.crt", "serviceaccount/default", "secret/sftjobs"}
"""What is in the namespace of a test before anything is installed."""
_IMAGE = os.environ.get("SFTJOBS_TEST_IMAGES", f"sftjobs/{{role}}:{__version__}")
IMAGES = {role: _IMAGE.format(role=role) for role in ("controller", "data", "train", "eval")}
"""SFTJOBS_TEST_IMAGES: others than those of `make images`, e.g. `localhost:5001/sftjobs/{role}:mine`."""
SMALL: dict[str, Any] = {"images": IMAGES, "cpu_per_thread": 0.2, "controller": {"cpu": "50m"}}
"""Part of cluster.yaml: two stage pods and the controller share two cores with the control plane."""


class ClusterRun:
    """One release in a namespace of the test; `whole` has its folder, and looks into the store."""

    def __init__(
        self, whole: WholeRun, cluster: Cluster, namespace: str, endpoint: str, *, name: str = "whole", helm: str = ""
    ) -> None:
        self.whole = whole
        self.cluster = cluster
        self.namespace = namespace
        self.name = name
        self._helm = helm or "helm"
        self.values: dict[str, Any] = {**SMALL, "store": {"endpoint": endpoint}}

    # --- what a user does ---------------------------------------------------------------------------------------------

    def push(self) -> None:
        self.whole.cli("push", "run.yaml", "--to", "pushed.yaml")

    def helm(self, *arguments: str, code: int = 0) -> str:
        """Run helm in the namespace; returns what it printed."""
        done = subprocess.run(
            [self._helm, *arguments, "--namespace", self.namespace],
            cwd=self.whole.folder,
            env=self.cluster.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"helm {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def _release(self, verb: str, sets: Mapping[str, str], code: int) -> str:
        values = self.whole.folder / "cluster.yaml"
        values.write_text(yaml.safe_dump(self.values), encoding="utf-8")
        options = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
        return self.helm(
            verb, self.name, str(CHART), "--set-file", "run=pushed.yaml", "-f", str(values), *options, code=code
        )

    def install(self, sets: Mapping[str, str] | None = None, code: int = 0) -> str:
        return self._release("install", sets or {}, code)

    def upgrade(self, sets: Mapping[str, str] | None = None, code: int = 0) -> str:
        return self._release("upgrade", sets or {}, code)

    def uninstall(self) -> None:
        """And wait until nothing of the run is left."""
        self.helm("uninstall", self.name)
        self.until(lambda: not self.leftovers(), "nothing of the release is left", 180)

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        found = self.cluster.names(RUN_OBJECTS, self.namespace)
        return [name for name in found if name not in OURS and not name.startswith("secret/default-token")]

    def state(self) -> RunState | None:
        """As `sftjobs status`; None before the controller has recorded the run."""
        if not self.is_recorded():
            return None
        return run_state(self.whole.store, self.whole.run_id(self.name))

    def is_recorded(self) -> bool:
        """The controller has come so far that the store knows the run."""
        return any(record.name == self.name for record in list_runs(self.whole.store))

    def is_over(self) -> bool:
        state = self.state()
        return state is not None and state.verdict is not None

    def stage_state(self, stage: str) -> str:
        state = self.state()
        return next((item.state for item in state.stages if item.name == stage), "") if state else ""

    def step(self, stage: str = "train") -> int:
        """Step of the newest heartbeat of the newest attempt that has sent one while its program ran; else 0."""
        try:
            run_id = self.whole.run_id(self.name)
            number = len(self.whole.attempts(stage, self.name)) - 1
            body = self.whole.store.get(names.heartbeat(run_id, stage, number, 0)).body
        except NotFoundError:
            return 0
        beat = Heartbeat.model_validate_json(body)
        return beat.step or 0 if beat.state == "running" else 0

    def pods(self, stage: str) -> list[Object]:
        """Pods of the stage that run and have not been told to stop."""
        found = self.cluster.get("pods", self.namespace, f"{names.LABEL_RUN}={self.name},{names.LABEL_STAGE}={stage}")
        return [pod for pod in found if _is_at_work(pod)]

    def running_pod(self, stage: str) -> str:
        """Name of the pod of a stage of one node, once it runs."""
        found = self.until(lambda: self.pods(stage), f"a pod of {stage} runs")
        name: str = found[0]["metadata"]["name"]
        return name

    def controllers(self) -> list[Object]:
        """All pods of the controller, ended ones too, oldest first."""
        found = self.cluster.get("pods", self.namespace, f"{names.LABEL_RUN}={self.name},{names.LABEL_ROLE}=controller")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def controller(self) -> str | None:
        """Name of the controller's pod, while it runs."""
        found = [pod for pod in self.controllers() if _is_at_work(pod)]
        return found[-1]["metadata"]["name"] if found else None

    def controller_job(self) -> Object | None:
        """The newest one: a changed cluster.yaml makes another."""
        found = self.cluster.get("jobs", self.namespace, f"{names.LABEL_RUN}={self.name},{names.LABEL_ROLE}=controller")
        return max(found, key=lambda job: str(job["metadata"]["creationTimestamp"]), default=None)

    def secret(self, values: Mapping[str, str]) -> Object:
        """The Secret `sftjobs` of the namespace with other values."""
        metadata = {"name": "sftjobs", "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)}

    def exec(self, pod: str, *command: str, check: bool = True, timeout_s: float = 120.0) -> str:
        return self.cluster.kubectl("exec", pod, "-n", self.namespace, "--", *command, check=check, timeout_s=timeout_s)

    @contextmanager
    def drained(self) -> Iterator[None]:
        """The node of the training is drained of this run, its controller included, and stays cordoned inside."""
        node = self.pods("train")[0]["spec"]["nodeName"]
        # Not Kueue: on the one node of the lab nothing can take its place, and without its webhook no pod can end.
        ours = f"--pod-selector={names.LABEL_RUN}={self.name}"
        try:
            self.cluster.kubectl("drain", node, ours, "--delete-emptydir-data", "--force", timeout_s=300)
            yield
        finally:
            self.cluster.kubectl("uncordon", node)
        self.cluster.wait_healthy()

    # --- waiting ------------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
        """Poll until the condition holds; fails with what can be seen then."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                state = self.state()
                shown = state.model_dump_json(indent=1) if state else "no run in the store"
                raise AssertionError(f"not within {seconds:.0f} s: {what}\n{shown}")
            time.sleep(0.3)

    def wait_until_ended(self, state: str = "succeeded", seconds: float = PATIENCE_S) -> RunState:
        """The controller of this release has ended its Job, and the run has its verdict.

        In this order: in the store there may be the verdict of an earlier release of the same name.
        """
        self.until(self.controller_ended, f"the run has {state}", seconds)
        found = self.state()
        assert found is not None, "the controller has ended and there is no run in the store"
        assert found.verdict is not None and found.state == state, found.model_dump_json(indent=1)
        return found

    def controller_ended(self, *how: str) -> bool:
        """Its newest Job has one of these conditions; without any: has ended."""
        job = self.controller_job()
        conditions = (job or {}).get("status", {}).get("conditions", [])
        return any(item["type"] in (how or ("Complete", "Failed")) and item["status"] == "True" for item in conditions)

    def controller_failed(self) -> bool:
        return self.controller_ended("Failed")

    def plan(self) -> RunPlan:
        """As the controller has recorded it."""
        return read_plan(self.whole.store, self.whole.run_id(self.name))

    def seconds_from_install_to_end(self) -> float:
        """By the clock of the API server, from the first object of the release to the end of the controller's Job."""
        (anchor,) = [
            item
            for item in self.cluster.get("configmaps", self.namespace)
            if item["metadata"]["name"] == names.anchor_name(self.name)
        ]
        job = self.controller_job()
        assert job is not None
        return seconds_between(anchor["metadata"]["creationTimestamp"], job["status"]["completionTime"])

    def wait_for_step(self, step: int, stage: str = "train") -> int:
        found: int = self.until(lambda: (now := self.step(stage)) >= step and now, f"{stage} is at step {step}")
        return found

    # --- what must hold in the end ------------------------------------------------------------------------------------

    def assert_as_undisturbed(self, other: "WholeRun") -> None:
        """Same keys and artifacts as `other`, one COMMIT for each key, every attempt closed; nothing is left over."""
        whole = self.whole
        assert whole.keys(self.name) == other.keys()
        assert whole.digests(self.name) == other.digests()
        assert len(whole.digests(self.name)) == len(STAGES)
        assert whole.objects(names.COMMIT) == other.objects(names.COMMIT)
        for stage, attempts in whole.endings(self.name).items():
            assert attempts.count("committed") == 1 and attempts[-1] == "committed", (stage, attempts)
        self.uninstall()


def prepare_run(
    source: Path, folder: Path, cluster: Cluster, namespace: str, store: PodStore, prefix: str = "", **more: Any
) -> ClusterRun:
    """A run with the inputs in `source`, below `folder`, with a prefix of its own in the store; not pushed yet.

    `more` are arguments of ClusterRun, and `changes` of run.yaml.
    """
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".sftjobs", "output-*"))
    spec = store.spec(prefix or namespace)
    environ = {name: cluster.environ[name] for name in ("KUBECONFIG", "PATH")}
    whole = WholeRun(folder, open_store(spec, folder), {**SECRET, **environ})
    changes = [("name: whole", f"store: {spec.model_dump_json()}\nname: {more.get('name', 'whole')}")]
    for old, new in [*changes, *more.pop("changes", ())]:
        whole.change(old, new)
    return ClusterRun(whole, cluster, namespace, store.pod_endpoint(cluster.host), **more)


def pod_of(run: ClusterRun, node: int) -> str:
    """Name of the pod of a node of the training once both of its two pods run."""
    pods = run.until(lambda: len(found := run.pods("train")) == 2 and found, "two pods of train run")
    index = "batch.kubernetes.io/job-completion-index"
    return str(next(pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"][index] == str(node)))


def seconds_between(begin: str, end: str) -> float:
    """Of two times as the API shows them."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _is_at_work(pod: Object) -> bool:
    return pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
