"""The chart on a real API server, with both versions of Helm: install, upgrade, uninstall, rights, quotas, `helm test`.

The run itself is real, and is never waited for: what happens in it is tested elsewhere.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import pytest
import yaml

from sftjobs import names
from sftjobs.store.open import open_store
from tests.support.cluster_run import CHART, OURS, ClusterRun
from tests.support.helm import EVERYTHING, VERSIONS, Helm
from tests.support.lab import Cluster, Object
from tests.support.pod_store import SECRET, PodStore
from tests.support.whole_run import WholeRun, make_inputs

RIGHTS = {
    ("create", "jobs.batch"): True,
    ("delete", "jobs.batch"): True,
    ("watch", "pods"): True,
    ("get", "pods/log"): True,
    ("list", "events"): True,
    ("list", "workloads.kueue.x-k8s.io"): False,  # no queue is named
    ("get", "configmap/whole-run"): True,
    ("get", "configmap/other"): False,
    ("patch", "configmap/whole-run"): False,
    ("list", "secrets"): False,
    ("get", "secret/sftjobs"): False,
    ("create", "pods"): False,
    ("create", "pods/exec"): False,
    ("patch", "jobs.batch"): False,
    ("get", "nodes"): False,
}
"""verb, resource -> may the controller?"""
QUOTA = {
    "requests.cpu": "4",
    "requests.memory": "16Gi",
    "limits.memory": "16Gi",
    "requests.ephemeral-storage": "40Gi",
    "limits.ephemeral-storage": "40Gi",
    "pods": "10",
}
"""With these every pod must say what it takes. Limits of CPU are not among them: sftjobs sets none."""


def quota(namespace: str) -> Object:
    metadata = {"name": "team", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": QUOTA}}


@pytest.fixture(scope="class", params=VERSIONS)
def run(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    images: None,
    s3: PodStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ClusterRun]:
    """Pushed, in a namespace with `restricted` Pod Security and a ResourceQuota; not installed."""
    with ExitStack() as stack:
        namespace = stack.enter_context(cluster.namespace(request.param, SECRET))
        cluster.apply(quota(namespace))
        folder = make_inputs(tmp_path_factory.mktemp(request.param) / "run")
        spec = s3.spec(namespace)
        environ = {**SECRET, "KUBECONFIG": cluster.environ["KUBECONFIG"], "PATH": cluster.environ["PATH"]}
        whole = WholeRun(folder, open_store(spec, folder), environ)
        whole.change("name: whole", f"store: {spec.model_dump_json()}\nname: whole")
        whole.change("{threads_per_process: 1}", "{threads_per_process: 1, memory_gib: 2, disk_gib: 1}")
        program = str(Helm(request.param).program)
        found = ClusterRun(whole, cluster, namespace, s3.pod_endpoint(cluster.host), helm=program)
        found.push()
        yield found


def live(run: ClusterRun, kind: str, name: str) -> Object:
    found: Object = json.loads(run.cluster.kubectl("get", kind, name, "-n", run.namespace, "-o", "json"))
    return found


def controllers(run: ClusterRun) -> dict[str, str]:
    """Name -> UID of the Jobs of the controller."""
    jobs = run.cluster.get("jobs", run.namespace, f"{names.LABEL_RUN}={run.name},{names.LABEL_ROLE}=controller")
    return {job["metadata"]["name"]: job["metadata"]["uid"] for job in jobs}


def recorded(run: ClusterRun) -> bool:
    return any(run.whole.store.list(names.RUNS))


def revision(run: ClusterRun) -> int:
    return int(json.loads(run.helm("status", run.name, "-o", "json"))["version"])


class TestRelease:
    """One release from install to uninstall; each test goes on where the one before ended."""

    def test_install(self, run: ClusterRun) -> None:
        said = run.install()
        assert f"sftjobs status {run.name} --watch" in said
        assert "WARNING: images by tag" in said
        run.until(run.controller, "the controller's pod runs under Pod Security and quota", 120)

    def test_the_run_is_the_one_that_was_pushed(self, run: ClusterRun) -> None:
        pushed = (run.whole.folder / "pushed.yaml").read_bytes()
        data = live(run, "configmap", names.run_config_name(run.name))["data"]
        assert data[names.RUN_YAML].encode() == pushed
        anchor = live(run, "configmap", names.anchor_name(run.name))
        assert anchor["metadata"]["annotations"][names.ANNOTATION_RUN_HASH] == sha256(pushed).hexdigest()

    def test_the_controller_records_the_run(self, run: ClusterRun) -> None:
        run.until(lambda: recorded(run), "the controller has read its release and recorded the run", 120)

    def test_rights(self, run: ClusterRun) -> None:
        account = f"system:serviceaccount:{run.namespace}:{names.service_account_name(run.name, 'controller')}"
        found = {key: _may(run, account, *key) for key in RIGHTS}
        assert found == RIGHTS
        for role in ("data", "train", "eval"):
            stage = f"system:serviceaccount:{run.namespace}:{names.service_account_name(run.name, role)}"
            assert not _may(run, stage, "get", "pods")
            assert not _may(run, stage, "get", f"configmap/{names.run_config_name(run.name)}")

    def test_an_upgrade_for_stages_leaves_the_controller_alone(self, run: ClusterRun) -> None:
        jobs, anchor = controllers(run), live(run, "configmap", names.anchor_name(run.name))
        run.upgrade({"image_patience_s": "600"})
        assert controllers(run) == jobs
        cluster_json = json.loads(live(run, "configmap", names.run_config_name(run.name))["data"][names.CLUSTER_KEY])
        assert cluster_json["image_patience_s"] == 600
        assert live(run, "configmap", names.anchor_name(run.name))["metadata"]["uid"] == anchor["metadata"]["uid"]

    def test_an_upgrade_for_the_controller_replaces_it(self, run: ClusterRun) -> None:
        jobs, anchor = controllers(run), live(run, "configmap", names.anchor_name(run.name))
        # as the notes of the release say it: what was given before stays
        run.helm("upgrade", run.name, str(CHART), "--reuse-values", "--set", "controller.again=1")
        run.until(lambda: len(controllers(run)) == 1, "the Job of the controller before is gone", 60)
        assert controllers(run).keys() != jobs.keys()
        assert live(run, "configmap", names.anchor_name(run.name))["metadata"]["uid"] == anchor["metadata"]["uid"]
        run.until(run.controller, "the new controller's pod runs", 120)

    def test_an_upgrade_with_another_run_is_refused(self, run: ClusterRun) -> None:
        pushed, before = run.whole.folder / "pushed.yaml", revision(run)
        original, jobs = pushed.read_bytes(), controllers(run)
        pushed.write_bytes(original + b"seed: 7\n")
        said = " ".join(run.upgrade(code=1).split())
        pushed.write_bytes(original)
        assert f"run: not the run that release {run.name} was installed with" in said
        assert "Install the new run under another name, or `helm uninstall whole` first" in said
        assert controllers(run) == jobs
        assert live(run, "configmap", names.run_config_name(run.name))["data"][names.RUN_YAML].encode() == original
        assert revision(run) == before, "a refused upgrade is no revision"
        run.helm("upgrade", run.name, str(CHART), "--reuse-values")  # the refusal is not in the way of the next one
        assert controllers(run) == jobs

    def test_two_releases_in_one_namespace(self, run: ClusterRun) -> None:
        mine = run.cluster.names("all,cm,sa,role,rolebinding,netpol", run.namespace, f"{names.LABEL_RUN}={run.name}")
        other = ClusterRun(run.whole, run.cluster, run.namespace, "", name="whole-2", helm=run._helm)
        other.values = {**run.values, "controller": {"enabled": False}}
        other.install()
        theirs = run.cluster.names("all,cm,sa,role,rolebinding,netpol", run.namespace, f"{names.LABEL_RUN}=whole-2")
        assert theirs and not set(mine) & set(theirs)
        assert f"role/{other.name}-controller" not in theirs
        other.helm("upgrade", other.name, str(CHART), "--reuse-values", "--set", "controller.enabled=true")
        assert f"role/{other.name}-controller" in _with_label(run, other.name), "the cluster takes over from a laptop"
        run.until(lambda: _log(run, other), "the controller of the second release can be told to leave", 60)
        other.helm("uninstall", other.name)
        run.until(lambda: not _with_label(run, "whole-2"), "nothing of the second release is left", 60)
        assert set(mine) & set(_with_label(run, run.name)) >= {f"configmap/{run.name}-anchor", f"service/{run.name}"}
        assert controllers(run)

    def test_uninstall_leaves_nothing(self, run: ClusterRun) -> None:
        run.until(lambda: run.cluster.get("jobs", run.namespace, names.LABEL_STAGE), "a stage has a Job", 120)
        run.uninstall()
        assert set(run.cluster.names("jobs,pods,services,cm,sa,role,rolebinding,netpol", run.namespace)) <= OURS
        assert run.whole.run_id(), "the run is in the store as before"


def _with_label(run: ClusterRun, name: str) -> list[str]:
    return run.cluster.names("all,cm,sa,role,rolebinding,netpol", run.namespace, f"{names.LABEL_RUN}={name}")


def _log(run: ClusterRun, other: ClusterRun) -> str:
    label = f"{names.LABEL_RUN}={other.name},{names.LABEL_ROLE}=controller"
    return run.cluster.kubectl("logs", "-l", label, "-n", run.namespace, check=False)


def _may(run: ClusterRun, account: str, verb: str, resource: str) -> bool:
    said = run.cluster.kubectl("auth", "can-i", verb, resource, "--as", account, "-n", run.namespace, check=False)
    return said.strip() == "yes"


class TestPreflight:
    """`helm test` with both versions of Helm; at first the checks are all there is, as the controller is elsewhere."""

    def test_success_leaves_nothing(self, run: ClusterRun) -> None:
        run.install({"controller.enabled": "false"})
        said = run.helm("test", run.name, "--timeout", "240s")
        assert "Phase:          Succeeded" in said and "Failed" not in said
        run.until(lambda: not _preflight(run), "the pod of the test and its rights are gone", 60)

    def test_failure_leaves_its_log(self, run: ClusterRun) -> None:
        """Here: the Secret has a wrong key. The pod says so, and with Helm 4 `helm test` itself."""
        run.cluster.apply(run.secret({**SECRET, "TEST_SECRET_KEY": "wrong"}))
        said = run.helm("test", run.name, "--timeout", "240s", code=1)
        log = run.cluster.kubectl("logs", f"{run.name}-preflight", "-n", run.namespace)
        assert "store" in log
        assert f"{run.name}-preflight failed" in said
        run.cluster.apply(run.secret(SECRET))
        run.helm("test", run.name, "--timeout", "240s")  # the pod of the failed one is not in the way
        run.until(lambda: not _preflight(run), "the pod of the test and its rights are gone", 60)

    def test_uninstall_takes_the_rights_of_a_failed_test(self, run: ClusterRun) -> None:
        run.helm("upgrade", run.name, str(CHART), "--reuse-values", "--set", "controller.enabled=true")
        run.cluster.apply(run.secret({**SECRET, "TEST_SECRET_KEY": "wrong"}))
        run.helm("test", run.name, "--timeout", "240s", code=1)
        run.helm("uninstall", run.name)
        left = {f"pod/{run.name}-preflight"}
        run.until(lambda: set(run.leftovers()) <= left, "only the pod that says why is left", 90)


def _preflight(run: ClusterRun) -> list[str]:
    found = run.cluster.names("jobs,pods,serviceaccounts,roles,rolebindings", run.namespace)
    return [name for name in found if "preflight" in name]


WHO: dict[str, tuple[list[str], str]] = {
    "admin": (["admin"], "controller.enabled=true"),
    "edit": (["edit"], "controller.enabled=false"),
    "queue": (["admin", "kueue-batch-user-role"], "queue=gpus"),
}


@pytest.mark.parametrize("who", WHO)
def test_who_can_install(run: ClusterRun, who: str) -> None:
    """The roles of Kubernetes and Kueue for users of a namespace; nobody needs a right of the whole cluster."""
    roles, value = WHO[who]
    if who == "queue" and not run.cluster.has_kueue():
        pytest.skip("this cluster has no Kueue")
    user = f"ann-{who}"
    for role in roles:
        bind = ("create", "rolebinding", f"{user}-{role}", f"--clusterrole={role}", f"--user={user}")
        run.cluster.kubectl(*bind, "-n", run.namespace)
    mine = ClusterRun(run.whole, run.cluster, run.namespace, "", name=f"by-{who}", helm=run._helm)
    for verb in ("install", "upgrade"):
        options = ("--set-file", "run=pushed.yaml", "--set", value, "--kube-as-user", user)
        mine.helm(verb, mine.name, str(CHART), *options)
    assert f"configmap/{mine.name}-anchor" in _with_label(run, mine.name)
    mine.helm("uninstall", mine.name, "--kube-as-user", user)
    run.until(lambda: not _with_label(run, mine.name), "nothing of the release is left", 60)


def test_a_proxy_is_not_asked_for_the_api_server(run: ClusterRun, cluster: Cluster) -> None:
    """Its address is not known to whoever writes cluster.yaml; the controller would ask in vain for its release."""
    dead = "http://127.0.0.1:9"
    run.values["proxy"] = {"http": dead, "https": dead, "no_proxy": f".svc,{cluster.host}"}
    run.install()
    run.until(lambda: recorded(run), "the controller has read its release past the proxy and recorded the run", 120)
    run.uninstall()


def test_the_api_server_takes_everything(cluster: Cluster) -> None:
    """Every field of cluster.yaml set, as a server-side dry run. Pods are left out: their RuntimeClass is not here."""
    with cluster.namespace("everything") as namespace:
        text = Helm("helm4").text("-f", str(EVERYTHING), namespace=namespace)
        objects = [item for item in yaml.safe_load_all(text) if item is not None and item["kind"] != "Pod"]
        listed: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": objects}
        said = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(listed))
    assert len(said.splitlines()) == len(objects) >= 12
    assert "job.batch/intent-v3-controller-" in said
