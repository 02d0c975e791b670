"""`sftjobs status --namespace`: the store says where the run is, the cluster why its pods wait."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sftjobs import names
from sftjobs.attempts import Heartbeat, Intent, Result, Termination
from sftjobs.canonical import readable
from sftjobs.cli.status import command
from sftjobs.errors import DataError, SftError
from sftjobs.kube.api import Object
from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.release.owner import owner_of
from sftjobs.runs import Verdict, begin_session, create_run, write_intent, write_result, write_verdict
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.scripted_api import NAMESPACE, ScriptedApi, listing, status
from tests.support.specs import make_facts, make_spec

NOW = time.time()
MADE = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 600))


class Run:
    """A run of a release in a folder store, whose first attempt goes on, and a cluster that says what a test wants."""

    def __init__(self, folder: Path, server: ScriptedApi) -> None:
        self.folder = folder
        self.server = server
        self.store: Store = open_store("store", folder)
        self.plan: RunPlan = make(make_spec(), make_facts())
        self.run_id = create_run(self.store, self.plan, b"", owner_of("demo", NAMESPACE))
        begin_session(self.store, self.run_id, {}, [], NOW - 600)
        stage = finish(self.plan, "data", {})
        self.intent = Intent(run_id=self.run_id, attempt=0, job="demo-data-a0", plan=stage, created=NOW - 600)
        write_intent(self.store, self.intent)
        server.quiet("jobs", "pods")
        server.script("GET events", listing("1"))
        cluster = {"name": "c", "cluster": {"server": server.configuration().host}}
        context = {"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "other"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "lab", "clusters": [cluster],
                  "contexts": [context], "users": [{"name": "u", "user": {"token": "t"}}]}  # fmt: skip
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))

    def job(self, **spec: Any) -> Object:
        made = build_job(self.intent, JobSettings(store=StoreSpec(uri="s3://b/x"), namespace=NAMESPACE))
        made["metadata"] |= {"uid": "u1", "resourceVersion": "5", "creationTimestamp": MADE}
        made["spec"] |= spec
        return {**made, "status": {"startTime": MADE}}

    def pod(self, phase: str, **more: Any) -> Object:
        labels = self.job()["metadata"]["labels"] | {"batch.kubernetes.io/job-name": self.intent.job}
        shown = {"phase": phase, **more}
        container = {"name": "data", "image": "sftjobs/data:1"}
        return {
            "metadata": {"name": "p", "resourceVersion": "5", "labels": labels, "creationTimestamp": MADE},
            "spec": {"containers": [container]},
            "status": shown,
        }

    def beat(self, age_s: float) -> None:
        beat = Heartbeat(t=time.time() - age_s, state="running", phase="read", step=3, total=9, unit="files")
        body = readable(beat.model_dump(mode="json"))
        key = names.heartbeat(self.run_id, "data", 0, 0)
        self.store.create(key, body)

    def status(self, *options: str, asked: bool = True) -> str:
        """What it prints. Raises SftError."""
        where = ("--namespace", NAMESPACE) if asked else ()
        done = CliRunner().invoke(command, ["demo", "--store", str(self.folder / "store"), *where, *options])
        if done.exception is not None:
            raise done.exception
        return done.output

    def stage(self, *options: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.status("-o", "json", *options))["stages"][0]
        return state


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    place = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    with ScriptedApi() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, str(tmp_path / "kubeconfig"))
        yield Run(tmp_path, server)


def unscheduled(message: str) -> list[Object]:
    return [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]


def test_why_a_pod_is_pending(run: Run) -> None:
    run.server.script("GET jobs", listing("5", run.job()))
    pod = run.pod("Pending", conditions=unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."))
    run.server.script("GET pods", listing("5", pod))
    assert run.status(asked=False).count("no heartbeat for") == 1, "the store alone does not know yet"
    found = run.stage()
    assert (found["state"], found["attempts"]) == ("waiting", 1)
    assert found["message"] == "cannot be scheduled: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    shown = run.status()
    assert "Insufficient nvidia.com/gpu" in shown
    assert "controller: pod p has not started: cannot be scheduled" in shown, "here the script shows one pod to all"


def test_pods_that_run_and_have_not_reported(run: Run) -> None:
    run.server.script("GET jobs", listing("5", run.job()))
    state = {"containerStatuses": [{"name": "data", "state": {"running": {"startedAt": MADE}}}]}
    run.server.script("GET pods", listing("5", run.pod("Running", **state)))
    found = run.stage()
    assert (found["state"], found["message"]) == ("running", "its pods run, and have not reported yet")


def test_what_the_agent_says_counts_more(run: Run) -> None:
    run.beat(2)
    run.server.script("GET jobs", listing("5", run.job()))
    state = {"containerStatuses": [{"name": "data", "state": {"running": {"startedAt": MADE}}}]}
    run.server.script("GET pods", listing("5", run.pod("Running", **state)))
    assert "read 3/9 files" in run.status()


def test_a_preempted_attempt_waits_for_quota(run: Run) -> None:
    """Its last heartbeat is old, and nothing has stalled."""
    run.beat(300)
    run.server.script("GET jobs", listing("5", run.job(suspend=True)))
    run.server.script("GET workloads", status(403, "Forbidden", "may not"))
    found = run.stage()
    assert (found["state"], found["message"]) == ("waiting", "waiting for quota in a queue")


def test_an_end_that_nobody_has_recorded(run: Run) -> None:
    """The controller is away."""
    ended = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": MADE}
    job = run.job()
    job["status"]["conditions"] = [ended]
    run.server.script("GET jobs", listing("5", job))
    state = {"terminated": {"exitCode": 1, "message": "no module named x", "startedAt": MADE, "finishedAt": MADE}}
    pod = run.pod("Failed", containerStatuses=[{"name": "data", "state": state}])
    run.server.script("GET pods", listing("5", pod))
    assert "its job has ended (the agent ended with exit code 1 and no message: no module named x)" in run.status()


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([], f"no pod in namespace {NAMESPACE}"),
        (["Pending"], "pod p has not started: image sftjobs/data:1 cannot be pulled: not found"),
        (["Running"], "pod p is at work"),
        (["Failed"], "pod p has ended: run.yaml:3: train.lr: unknown key"),
    ],
)
def test_where_the_controller_is(run: Run, pods: list[str], words: str) -> None:
    said = json.dumps({"failure": "config", "code": 10, "message": "run.yaml:3: train.lr: unknown key"})
    states = {
        "Pending": {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
        "Running": {"running": {"startedAt": MADE}},
        "Failed": {"terminated": {"exitCode": 10, "message": said}},
    }
    shown = [run.pod(phase, containerStatuses=[{"name": "controller", "state": states[phase]}]) for phase in pods]
    run.server.script("GET pods", listing("5", *shown))
    assert json.loads(run.status("-o", "json"))["controller_pod"] == words
    selectors = [request.query.get("labelSelector") for request in run.server.asked("GET pods")]
    assert f"{names.LABEL_RUN}=demo,{names.LABEL_ROLE}=controller" in selectors


def test_the_namespace_is_that_of_the_release(run: Run) -> None:
    """Not that of the context."""
    run.status("--context", "lab", asked=False)
    assert {request.path.split("/namespaces/")[1].split("/")[0] for request in run.server.requests} == {NAMESPACE}
    with pytest.raises(DataError, match="has no context 'prod'; it has: lab"):
        run.status("--context", "prod", asked=False)


def test_a_cluster_that_does_not_answer(run: Run) -> None:
    run.server.script("GET pods", status(503, "Unavailable", "the server is starting"))
    with pytest.raises(SftError, match=f"namespace {NAMESPACE}: the server is starting"):
        run.status()


def test_watching_to_the_end(run: Run) -> None:
    """Without a terminal something is printed only when something has changed."""
    said = Termination(failure="user", code=1, message="boom")
    finished = Result(attempt=0, termination=said, started=NOW - 500, finished=NOW)
    words = [str(Path(sys.executable).with_name("sftjobs")), "status", "demo", "--store", "store", "--watch"]
    environ = {**os.environ, "KUBECONFIG": str(run.folder / "kubeconfig")}
    watching = subprocess.Popen(
        [*words, "--namespace", NAMESPACE], cwd=run.folder, env=environ, stdout=subprocess.PIPE, text=True
    )
    time.sleep(7)
    write_result(run.store, run.run_id, "data", finished)
    verdict = Verdict(outcome="failed", stage="data", failure="user", message="boom", finished=NOW)
    write_verdict(run.store, run.run_id, 0, verdict)
    shown, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert shown.endswith("failed: boom\n")
    # At least four looks were taken; one of them may have come between the two records.
    assert shown.count("controller: no pod in namespace team") in (2, 3)


def test_watching_what_was_just_installed(tmp_path: Path) -> None:
    """The controller has to pull its image before anything is in the store."""
    with ScriptedApi() as server:
        run = Run(tmp_path, server)
        pending = run.pod("Pending", containerStatuses=[])
        ended = {"terminated": {"exitCode": 10, "message": "run.yaml: no such model"}}
        bad = run.pod("Failed", containerStatuses=[{"name": "controller", "state": ended}])
        server.script("GET pods", listing("5", pending), listing("5", bad))
        words = [str(Path(sys.executable).with_name("sftjobs")), "status", "new", "--store", "store"]
        environ = {**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")}
        done = subprocess.run(
            [*words, "--watch", "--namespace", NAMESPACE],
            cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert "the run is not in the store yet" in done.stdout
    assert "controller: pod p has not started: starting" in done.stdout
    assert done.returncode == 10
    assert "no run 'new'" in done.stderr
    assert "run.yaml: no such model" in done.stderr
