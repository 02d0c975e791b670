"""The checks of the preflight, against a scripted API server; tests/cluster/test_preflight.py asks a real one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sftjobs import __version__, names
from sftjobs.backend.kubernetes import Anchor
from sftjobs.kube.api import Object
from sftjobs.plan.make import make
from sftjobs.preflight import images
from sftjobs.preflight.admission import check_admission
from sftjobs.preflight.finding import Finding
from sftjobs.preflight.gpus import check_gpus
from sftjobs.preflight.ground import Ground
from sftjobs.preflight.images import check_images, short_job
from sftjobs.preflight.main import checks, report
from sftjobs.preflight.permissions import check_permissions
from sftjobs.preflight.queues import check_queue
from sftjobs.preflight.quotas import check_quotas
from sftjobs.release.release import Release
from sftjobs.spec.cluster import ClusterSpec, ControllerSpec, PodSpec, PodsSpec
from sftjobs.spec.lines import Lines
from sftjobs.spec.load import Loaded
from sftjobs.spec.source import Source
from sftjobs.store.open import open_store
from tests.support.scripted_api import Answer, ScriptedApi, answer, listing, status
from tests.support.specs import make_facts, make_spec

GPU_STAGE = {"resources": {"train": {"gpus_per_node": 4, "processes_per_node": 4, "memory_gib": 64}}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    monkeypatch.setattr(images, "POLL_S", 0.01)
    monkeypatch.setattr(images, "HOPELESS_AFTER_S", 0.2)
    with ScriptedApi() as found:
        yield found


def release(server: ScriptedApi, **cluster: Any) -> Release:
    api = server.api()
    return Release(api, "demo", Anchor(api, "demo-anchor", "u1"), b"", ClusterSpec(**cluster))


def ground(server: ScriptedApi, folder: Path, *, spec: dict[str, Any] | None = None, **cluster: Any) -> Ground:
    made = make_spec(**(spec or {}))
    loaded = Loaded(
        spec=made,
        folder=folder,
        path=folder / "run.yaml",
        text=b"",
        lines=Lines({}),
        prompt_source=Source("prompt.yaml", Lines({})),
    )
    return Ground(release(server, **cluster), loaded, open_store("store", folder), make(made, make_facts()))


def words(finding: Finding) -> str:
    return f"{finding.state}: {finding.text} -> {finding.todo}"


# --- permissions ------------------------------------------------------------------------------------------------------
def test_rights_are_those_of_the_account(server: ScriptedApi) -> None:
    server.script("POST localsubjectaccessreviews", answer({"status": {"allowed": True}}))
    assert words(check_permissions(release(server))).startswith("ok: ServiceAccount demo-controller may do all")
    specs = [request.body["spec"] for request in server.asked("POST localsubjectaccessreviews") if request.body]
    assert {spec["user"] for spec in specs} == {"system:serviceaccount:team:demo-controller"}
    asked = {(spec["resourceAttributes"]["verb"], spec["resourceAttributes"]["resource"]) for spec in specs}
    assert ("create", "jobs") in asked and ("list", "workloads") not in asked
    check_permissions(release(server, queue="team-a"))
    last = server.asked("POST localsubjectaccessreviews")[-1].body
    assert last is not None and last["spec"]["resourceAttributes"]["group"] == "kueue.x-k8s.io"


def test_what_the_account_may_not_is_named(server: ScriptedApi) -> None:
    def review(request: Any) -> Answer:
        return answer({"status": {"allowed": request.body["spec"]["resourceAttributes"]["verb"] != "delete"}})

    server.script("POST localsubjectaccessreviews", review)
    found = words(check_permissions(release(server, service_accounts={"controller": {"name": "batch"}})))
    assert found.startswith("failed: ServiceAccount batch may not: delete jobs -> bind ServiceAccount batch to Role")


def test_rights_that_cannot_be_looked_at(server: ScriptedApi) -> None:
    server.script("POST localsubjectaccessreviews", status(403, "Forbidden", "may not review"))
    assert words(check_permissions(release(server))).startswith("not checked: may not review -> ")
    elsewhere = release(server, controller=ControllerSpec(enabled=False))
    assert words(check_permissions(elsewhere)).startswith("not checked: the controller is not in the cluster")


# --- queue ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer({"spec": {}, "status": {"pendingWorkloads": 3}}), "ok: LocalQueue team-a takes Jobs, 3 are waiting"),
        (status(404, "NotFound", 'localqueues "team-a" not found'), "failed: namespace team has no LocalQueue team-a"),
        (Answer(404, b"404 page not found\n"), "failed: queue team-a is named, and this cluster has no Kueue"),
        (status(403, "Forbidden", "may not"), "not checked: may not"),
        (status(503, "Unavailable", "starting"), "not checked: starting"),
        (
            answer(
                {
                    "spec": {"clusterQueue": "gpu"},
                    "status": {"conditions": [{"type": "Active", "status": "False", "message": "it is stopped"}]},
                }
            ),
            "failed: LocalQueue team-a takes no Jobs: it is stopped -> see `kubectl describe clusterqueue gpu`",
        ),
    ],
    ids=["there", "none", "no Kueue", "403", "503", "stopped"],
)
def test_queue(server: ScriptedApi, reply: Answer, expected: str) -> None:
    server.script("GET localqueues/team-a", reply)
    assert words(check_queue(release(server, queue="team-a"))).startswith(expected)


def test_no_queue_is_fine(server: ScriptedApi) -> None:
    assert check_queue(release(server)).state == "ok"
    assert not server.requests


# --- quotas and limits ------------------------------------------------------------------------------------------------
def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": "team"}, "spec": spec, "status": {"hard": hard, "used": used or {}}}


def limit(**item: Any) -> Object:
    return {"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", **item}]}}


@pytest.mark.parametrize(
    ("hard", "expected"),
    [
        (
            {"requests.memory": "64Gi", "limits.memory": "64Gi", "pods": "10", "count/jobs.batch": "50"},
            "ok: each stage",
        ),
        ({"memory": "20Gi"}, "failed: stage train: ResourceQuota team: memory is 20Gi, and the stage needs 64Gi"),
        (
            {"requests.nvidia.com/gpu": "2"},
            "failed: stage train: ResourceQuota team: requests.nvidia.com/gpu is 2, and",
        ),
        (
            {"requests.cpu": "500m"},
            "failed: stage data: ResourceQuota team: requests.cpu is 500m, and the stage needs 2",
        ),
        ({"limits.cpu": "100"}, "failed: stage data: ResourceQuota team: it wants a limit on CPU"),
        ({"services": "0"}, "ok: each stage fits"),
    ],
)
def test_quotas(server: ScriptedApi, tmp_path: Path, hard: dict[str, str], expected: str) -> None:
    server.script("GET resourcequotas", listing("1", quota(hard)))
    server.script("GET limitranges", listing("1"))
    assert words(check_quotas(ground(server, tmp_path, spec=GPU_STAGE))).startswith(expected)


def test_a_quota_that_is_used_by_others_is_waited_for(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("GET resourcequotas", listing("1", quota({"memory": "128Gi"}, {"memory": "100Gi"})))
    server.script("GET limitranges", listing("1"))
    found = words(check_quotas(ground(server, tmp_path, spec=GPU_STAGE)))
    assert found.startswith("ok: each stage fits; it will wait: team has no room for stage train now")


def test_a_quota_for_other_pods_says_nothing(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("GET resourcequotas", listing("1", quota({"memory": "1Gi"}, scopes=["BestEffort"])))
    server.script("GET limitranges", listing("1"))
    assert check_quotas(ground(server, tmp_path)).state == "ok"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"max": {"memory": "32Gi"}}, "failed: stage train: LimitRange small: at most 32Gi of memory"),
        ({"max": {"cpu": "1"}}, "failed: stage data: LimitRange small: at most 1 of cpu, and the stage asks for"),
        ({"min": {"memory": "32Gi"}}, "failed: stage data: LimitRange small: at least 32Gi of memory"),
        ({"max": {"memory": "64Gi"}, "default": {"cpu": "1"}}, "ok"),
        ({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, "ok"),
    ],
)
def test_limits(server: ScriptedApi, tmp_path: Path, item: dict[str, Any], expected: str) -> None:
    server.script("GET resourcequotas", listing("1"))
    server.script("GET limitranges", listing("1", limit(**item)))
    assert words(check_quotas(ground(server, tmp_path, spec=GPU_STAGE))).startswith(expected)


def test_quotas_that_may_not_be_read(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("GET resourcequotas", status(403, "Forbidden", "may not"))
    assert words(check_quotas(ground(server, tmp_path))).startswith("not checked: may not")


# --- GPUs -------------------------------------------------------------------------------------------------------------
def node(name: str, gpus: int, *taints: str, closed: bool = False, **labels: str) -> Object:
    spec = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints], "unschedulable": closed}
    status_ = {"allocatable": {"nvidia.com/gpu": str(gpus)} if gpus else {}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status_}


H100 = PodsSpec(train=PodSpec(node_selector={"pool": "h100"}))
TOLERANT = PodsSpec(all=PodSpec(tolerations=[{"key": "batch", "operator": "Exists"}]))


@pytest.mark.parametrize(
    ("nodes", "pods", "expected"),
    [
        ([node("a", 8)], PodsSpec(), "ok: there are nodes for: train"),
        ([node("a", 8, "nvidia.com/gpu")], PodsSpec(), "ok"),
        (
            [node("a", 2), node("b", 0)],
            PodsSpec(),
            "failed: stage train: it asks for 4 GPUs per node, and the largest of 2",
        ),
        ([node("a", 8, closed=True)], PodsSpec(), "failed: stage train: no node takes pods"),
        (
            [node("a", 8, pool="a100")],
            H100,
            "failed: stage train: no node that takes pods has the labels {'pool': 'h100'}",
        ),
        ([node("a", 8, pool="h100")], H100, "ok"),
        ([node("a", 8, "batch")], PodsSpec(), "failed: stage train: node a has the taint batch, not tolerated"),
        ([node("a", 8, "batch")], TOLERANT, "ok"),
    ],
)
def test_gpus(server: ScriptedApi, tmp_path: Path, nodes: list[Object], pods: PodsSpec, expected: str) -> None:
    server.script("POST selfsubjectaccessreviews", answer({"status": {"allowed": True}}))
    server.script("GET nodes", listing("1", *nodes))
    assert words(check_gpus(ground(server, tmp_path, spec=GPU_STAGE, pods=pods))).startswith(expected)


def test_gpus_of_several_nodes(server: ScriptedApi, tmp_path: Path) -> None:
    several = {"resources": {"train": {"nodes": 3, "gpus_per_node": 4, "processes_per_node": 4}}}
    server.script("POST selfsubjectaccessreviews", answer({"status": {"allowed": True}}))
    server.script("GET nodes", listing("1", node("a", 8)), listing("1", node("a", 8), node("b", 4)))
    at = ground(server, tmp_path, spec=several)
    assert "it asks for 3 nodes with 4 GPUs, and there is room for 2" in words(check_gpus(at))
    assert check_gpus(at).state == "ok"


def test_nodes_that_may_not_be_listed(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("POST selfsubjectaccessreviews", answer({"status": {"allowed": False}}))
    assert check_gpus(ground(server, tmp_path)).state == "ok", "no stage asks for any"
    assert words(check_gpus(ground(server, tmp_path, spec=GPU_STAGE))).startswith("not checked: this account may not")


# --- the Jobs ---------------------------------------------------------------------------------------------------------
def test_jobs_are_tried_under_other_names(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("POST jobs", answer({}, 201))
    assert check_admission(ground(server, tmp_path)).state == "ok"
    asked = server.asked("POST jobs")
    assert all(request.query == {"dryRun": "All"} for request in asked)
    made = [request.body["metadata"]["name"] for request in asked if request.body]
    assert made[0] == "demo-data-a0-preflight" and len(set(made)) == len(made) > 2


def test_a_job_that_is_refused(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("POST jobs", answer({}, 201), status(422, "Invalid", "tolerations[0].key: Invalid value"))
    found = words(check_admission(ground(server, tmp_path)))
    assert found.startswith("failed: stage ") and "tolerations[0].key: Invalid value -> correct the fields" in found
    server.script("POST jobs", status(500, "InternalError", "failed calling webhook"))
    assert check_admission(ground(server, tmp_path)).state == "not checked"


# --- images -----------------------------------------------------------------------------------------------------------
ONE = {"images": {"data": "x/all:1", "train": "x/all:1", "eval": "x/all:1"}}
NAME = "demo-preflight-data"


def trial_pod(phase: str, **state: Any) -> Object:
    shown = {"phase": phase, "containerStatuses": [{"name": "data", "state": state}]}
    labels = {names.LABEL_RUN: "demo"}
    container = {"name": "data", "image": "x/all:1"}
    return {"metadata": {"name": "p", "labels": labels}, "spec": {"containers": [container]}, "status": shown}


def script_trial(server: ScriptedApi, *pods: Object, version: str = __version__) -> None:
    server.script("POST jobs", answer({}, 201))
    server.script(f"GET jobs/{NAME}", answer({"metadata": {"name": NAME}, "spec": {}, "status": {}}))
    server.script(f"DELETE jobs/{NAME}", answer({}))
    server.script("GET pods", listing("1"), *(listing("1", pod) for pod in pods))
    server.script("GET events", listing("1"))
    server.script("GET pods/p/log", Answer(200, f"{version}\n".encode()))


ENDED = trial_pod("Succeeded", terminated={"exitCode": 0})


@pytest.mark.parametrize(
    ("pod", "version", "expected"),
    [
        (ENDED, __version__, f"ok: x/all:1 (data, train, eval): pulled and started, version {__version__}"),
        (ENDED, "0.0.1", "failed: x/all:1 (data, train, eval): is of version 0.0.1, the controller of"),
        (
            trial_pod("Failed", terminated={"exitCode": 1, "message": "ModuleNotFoundError: sftjobs"}),
            "",
            "failed: x/all:1 (data, train, eval): the agent ended with exit code 1 and no message: ModuleNotFoundError",
        ),
        (
            trial_pod("Pending", waiting={"reason": "ErrImagePull", "message": "x/all:1: not found"}),
            "",
            "failed: x/all:1 (data, train, eval): image x/all:1 cannot be pulled: x/all:1: not found -> correct images",
        ),
        (trial_pod("Pending"), "", "not checked: x/all:1 (data, train, eval): starting -> run `helm test` again"),
    ],
)
def test_an_image(server: ScriptedApi, tmp_path: Path, pod: Object, version: str, expected: str) -> None:
    script_trial(server, trial_pod("Pending"), pod, version=version)
    (found,) = check_images(ground(server, tmp_path, **ONE), limit_s=1.0)
    assert words(found).startswith(expected)
    assert len(server.asked(f"DELETE jobs/{NAME}")) == 1


def test_a_cluster_in_which_kueue_manages_every_job(server: ScriptedApi, tmp_path: Path) -> None:
    script_trial(server)
    server.script(f"GET jobs/{NAME}", answer({"metadata": {"name": NAME}, "spec": {"suspend": True}, "status": {}}))
    (found,) = check_images(ground(server, tmp_path, **ONE))
    assert words(found).startswith("failed: this cluster suspends Jobs that name no queue")


def test_what_an_earlier_test_has_left_is_replaced(server: ScriptedApi, tmp_path: Path) -> None:
    script_trial(server, ENDED)
    server.script("POST jobs", status(409, "AlreadyExists", "exists"), answer({}, 201))
    assert [found.state for found in check_images(ground(server, tmp_path, **ONE))] == ["ok"]
    assert len(server.asked(f"DELETE jobs/{NAME}")) == 2


def test_jobs_that_may_not_be_made(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("POST jobs", status(403, "Forbidden", "may not create jobs"))
    (found,) = check_images(ground(server, tmp_path, **ONE))
    assert words(found).startswith("not checked: may not create jobs -> ")


def test_the_controller_does_not_take_a_trial_for_one_of_its_jobs(server: ScriptedApi, tmp_path: Path) -> None:
    intent, stage = ground(server, tmp_path, queue="team-a", spec=GPU_STAGE).jobs[1]
    job = short_job(stage, "demo-preflight-train")
    text = str(job)
    for absent in (names.LABEL_STAGE, names.LABEL_ATTEMPT, names.LABEL_QUEUE, "suspend", "nvidia.com/gpu"):
        assert absent not in text
    assert names.LABEL_STAGE in str(stage), "the stage's own Job is not changed"
    assert job["metadata"]["ownerReferences"] == stage["metadata"]["ownerReferences"], "it goes with the release"
    assert job["spec"]["template"]["spec"]["volumes"] == stage["spec"]["template"]["spec"]["volumes"]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == f"demo-{intent.plan.kind}"


# --- all together -----------------------------------------------------------------------------------------------------
def test_without_a_release_there_is_nothing_to_check(server: ScriptedApi, capsys: pytest.CaptureFixture[str]) -> None:
    server.script("GET configmaps/demo-anchor", status(404, "NotFound", "none"))
    assert report(checks(server.api(), "demo")) == 10
    said = capsys.readouterr().out
    assert "failed       release      namespace team has no ConfigMap demo-anchor" in said
    assert "-> `helm upgrade --install`" in said
    assert said.endswith("0 ok, 1 failed\n")


def test_a_report_without_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(iter([Finding("queue", "ok", "fine"), Finding("gpus", "not checked", "may not", "ask")])) == 0
    assert capsys.readouterr().out.endswith("1 ok, 0 failed, 1 not checked\n")
