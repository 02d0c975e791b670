"""The images as a strict cluster runs them: a user that nobody knows, a read-only root, Pod Security `restricted`."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sftjobs import __version__, names
from sftjobs.names import Exit
from sftjobs.plan import versions
from sftjobs.spec.cluster import SecuritySpec
from tests.support.cluster_run import IMAGES
from tests.support.lab import Cluster, Object

SUPPORT = Path(__file__).resolve().parents[1] / "support"
PROGRAMS = ("image_probe.py", "zero_program.py")
STAGES = ("data", "train", "eval")
USER = SecuritySpec().user
UNKNOWN_USER = random.randrange(1_000_000, 2_000_000_000)
ALLOWED_MB = 150
"""On top of the base image, for the controller."""
pytestmark = pytest.mark.usefixtures("images")


class Pods:
    """Pods that run one command in an image."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        data = {name: (SUPPORT / name).read_text("utf-8") for name in PROGRAMS}
        metadata = {"name": "programs", "namespace": namespace}
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    def start(self, name: str, role: str, command: list[str] | None = None, user: int | None = UNKNOWN_USER) -> None:
        """`command` and `user` of the image where they are None."""
        self._cluster.apply(pod(self._namespace, name, IMAGES[role], command, user))

    def ended(self, name: str) -> tuple[int, str, str]:
        """Wait; exit code, termination message, log."""
        where = ["-n", self._namespace, f"pod/{name}"]
        over = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
        self._cluster.kubectl("wait", *where, f"--for={over}", "--timeout=180s", timeout_s=200)
        shown = json.loads(self._cluster.kubectl("get", *where, "-o", "json"))
        state = shown["status"]["containerStatuses"][0]["state"]["terminated"]
        return state["exitCode"], state.get("message", ""), self._cluster.kubectl("logs", *where)

    def printed(self, name: str) -> dict[str, Any]:
        """The JSON that it printed in the end; fails with the log if it did not end well."""
        code, _, log = self.ended(name)
        assert code == 0, log
        found: dict[str, Any] = json.loads(log.splitlines()[-1])
        return found


def pod(namespace: str, name: str, image: str, command: list[str] | None, user: int | None) -> Object:
    """Volumes as in a stage pod: /tmp and /scratch are all that can be written."""
    volumes: list[Object] = [{"name": volume, "emptyDir": {}} for volume in ("tmp", "scratch")]
    mounts = [{"name": volume, "mountPath": f"/{volume}"} for volume in ("tmp", "scratch")]
    container: Object = {
        "name": "main",
        "image": image,
        "env": [{"name": "OMP_NUM_THREADS", "value": "1"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [*mounts, {"name": "programs", "mountPath": "/programs"}],
    }
    if command is not None:
        container["command"] = command
    # OpenShift gives a pod a user of the namespace's range, and group 0
    whose = {} if user is None else {"runAsUser": user, "runAsGroup": 0}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **whose},
            "containers": [container],
            "volumes": [*volumes, {"name": "programs", "configMap": {"name": "programs"}}],
        },
    }


@pytest.fixture(scope="module")
def pods(cluster: Cluster, images: None) -> Iterator[Pods]:
    with cluster.namespace("images") as namespace:
        yield Pods(cluster, namespace)


@pytest.fixture(scope="module")
def probes(pods: Pods) -> dict[str, dict[str, Any]]:
    """What the probe finds in each image."""
    for role in IMAGES:
        pods.start(f"probe-{role}", role, ["python", "/programs/image_probe.py"])
    return {role: pods.printed(f"probe-{role}") for role in IMAGES}


@pytest.mark.parametrize("role", IMAGES)
def test_any_user_on_a_read_only_root(role: str, probes: dict[str, dict[str, Any]]) -> None:
    found = probes[role]
    assert found["uid"] == UNKNOWN_USER and found["user"] == "sftjobs"
    assert found["not_writable"] == [] and found["root_writable"] == []
    assert found["tools"] == []


@pytest.mark.parametrize("role", IMAGES)
def test_planning_in_an_image_gives_the_keys_of_planning_here(role: str, probes: dict[str, dict[str, Any]]) -> None:
    found = probes[role]
    assert found["planned"] == versions.installed()
    assert found["build_info"]["version"] == __version__
    assert found["source_digest"] == found["build_info"]["source_digest"]
    if role != "controller":
        assert found["installed"] == found["planned"]


def test_the_controller_has_no_torch_and_is_small(probes: dict[str, dict[str, Any]]) -> None:
    assert not probes["controller"]["torch"]
    assert 20 < probes["controller"]["own_mb"] <= ALLOWED_MB


@pytest.mark.parametrize("role", STAGES)
def test_settings_of_stage_images(role: str, probes: dict[str, dict[str, Any]]) -> None:
    found = probes[role]
    offline = None if role == "data" else "1"  # the import of a model is a data stage
    expected = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": offline, "TOKENIZERS_PARALLELISM": "false"}
    assert found["environ"] == expected
    assert found["malloc"], "tcmalloc is not loaded"


@pytest.mark.parametrize("role", STAGES)
def test_a_stage_image_starts_the_agent_as_its_own_user(role: str, pods: Pods) -> None:
    """runAsNonRoot without a user: the kubelet refuses an image whose user is root or only a name."""
    pods.start(f"bare-{role}", role, user=None)
    code, message, log = pods.ended(f"bare-{role}")
    assert code == Exit.BAD_CONFIG, log
    assert names.ENV_STORE in message
    pods.start(f"user-{role}", role, ["python", "-c", "import os; print([os.getuid(), os.getgid()])"], user=None)
    assert pods.ended(f"user-{role}")[2].strip() == f"[{USER}, {USER}]"


def test_zero_2_with_compiled_optimizers_and_no_compiler(pods: Pods) -> None:
    """Two ranks on gloo, as an unknown user: the weights are those of torch's AdamW on the same examples."""
    command = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    pods.start("zero", "train", [*command, "/programs/zero_program.py"])
    found = pods.printed("zero")
    assert (found["world"], found["backend"], found["uid"]) == (2, "gloo", UNKNOWN_USER)
    for case, optimizer in (("offload", "DeepSpeedCPUAdam"), ("in place", "FusedAdam")):
        assert found[case]["optimizer"] == optimizer
        assert found[case]["distance"] < 1e-5, found
    assert all("/site-packages/deepspeed/ops/" in path for path in found["ops"]), found["ops"]
