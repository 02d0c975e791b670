"""The pod of the controller, and that of the preflight, which must see the same."""

import pytest
import yaml

from sftjobs import names
from sftjobs.names import Exit
from sftjobs.objects.environment import shared_variables
from sftjobs.objects.settings import pod_settings
from sftjobs.spec.cluster import ClusterSpec
from tests.support.helm import EVERYTHING, Helm, environment, one, pod_of

R = "intent-v3"
FULL = ("-f", str(EVERYTHING))


def test_the_controller_finds_its_run(helm: Helm) -> None:
    job = one(helm.render(*FULL), "Job")
    pod = pod_of(job)
    found = environment(pod)
    assert pod["containers"][0]["command"] == ["python", "-m", "sftjobs.controller"]
    assert found[names.ENV_RELEASE] == R
    assert found[names.ENV_NAMESPACE] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert found[names.ENV_AGAIN] == "3"
    assert pod["containers"][0]["terminationMessagePath"] == names.TERMINATION_LOG
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "sft-secrets", "optional": True}}]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert (labels[names.LABEL_RUN], labels[names.LABEL_ROLE]) == (R, "controller")


def test_the_controller_has_the_environment_and_the_place_of_stage_pods(helm: Helm) -> None:
    cluster = ClusterSpec.model_validate(yaml.safe_load(EVERYTHING.read_text(encoding="utf-8")))
    mine = pod_settings(cluster, "controller")  # type: ignore[arg-type]  # no kind of stage, but a role like one
    expected = {**shared_variables(cluster), **mine.env}
    for name in ("NO_PROXY", "no_proxy"):  # only the controller talks to the API server
        expected[name] += ",$(KUBERNETES_SERVICE_HOST)"
    pod = pod_of(one(helm.render(*FULL), "Job"))
    own = {names.ENV_RELEASE, names.ENV_NAMESPACE, names.ENV_AGAIN}
    assert {name: value for name, value in environment(pod).items() if name not in own} == expected
    assert pod["nodeSelector"] == mine.node_selector
    assert pod["tolerations"] == mine.tolerations
    assert pod["affinity"] == mine.affinity
    assert pod["runtimeClassName"] == mine.runtime_class
    assert pod["volumes"][-len(mine.volumes) :] == mine.volumes
    assert pod["containers"][0]["volumeMounts"][-len(mine.volume_mounts) :] == mine.volume_mounts
    assert {"name": "ca", "mountPath": names.CA_MOUNT, "readOnly": True} in pod["containers"][0]["volumeMounts"]


def test_how_the_controller_ends(helm: Helm) -> None:
    spec = one(helm.render(), "Job")["spec"]
    failed, disrupted = spec["podFailurePolicy"]["rules"]
    assert failed["action"] == "FailJob"
    assert failed["onExitCodes"]["containerName"] == pod_of({"spec": spec})["containers"][0]["name"]
    assert failed["onExitCodes"]["values"] == sorted([Exit.RUN_FAILED, Exit.BAD_CONFIG])
    assert disrupted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert spec["backoffLimit"] >= 1000
    assert pod_of({"spec": spec})["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec


@pytest.mark.parametrize("options", [(), FULL], ids=["default", "everything"])
def test_pod_security_is_restricted(helm: Helm, options: tuple[str, ...]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, profile Restricted."""
    objects = helm.render(*options)
    for pod in (pod_of(one(objects, "Job")), objects[f"Pod/{R}-preflight"]["spec"]):
        container = pod["containers"][0]["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["allowPrivilegeEscalation"] is False
        assert container["capabilities"] == {"drop": ["ALL"]}
        assert container["readOnlyRootFilesystem"] is True
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_the_user_can_be_left_to_the_namespace(helm: Helm) -> None:
    pod = pod_of(one(helm.render("--set", "security.any_user=true"), "Job"))
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_kueue_never_holds_the_controller(helm: Helm) -> None:
    job = one(helm.render(*FULL), "Job")
    assert "suspend" not in job["spec"]
    assert "kueue" not in str(job)


STAGES_ONLY = [
    "pods.train.tolerations[0].key=x",
    "pods.data.env.A=x",
    "images.train=other:1",
    "queue=q",
    "priority_class=p",
    "gpu_hours=3",
    "service_accounts.train.name=x",
    "webhook.url=https://example.org",
    "image_patience_s=600",
    "network_policy.enabled=false",
]
CONTROLLERS_OWN = [
    "controller.again=1",
    "controller.memory=1Gi",
    "images.controller=other:1",
    "pods.controller.env.A=x",
    "pods.all.env.A=y",
    "secret=other",
    "store.endpoint=https://s3.example.org",
    "labels.team=x",
    "annotations.team=x",
    "proxy.https=http://p:1",
    "security.any_user=true",
]


def test_a_new_controller_only_for_what_its_pod_needs(helm: Helm) -> None:
    """A change for stages is read by the controller that runs; a change of its pod makes another Job."""
    before = one(helm.render(), "Job")["metadata"]["name"]
    assert before.startswith(f"{R}-controller-")
    assert {one(helm.render("--set", change), "Job")["metadata"]["name"] for change in STAGES_ONLY} == {before}
    after = [one(helm.render("--set", change), "Job")["metadata"]["name"] for change in CONTROLLERS_OWN]
    assert len({before, *after}) == 1 + len(CONTROLLERS_OWN)


def test_the_preflight_sees_what_the_controller_sees(helm: Helm) -> None:
    """Same image, environment, place and identity in the store; only command, account and name differ."""
    objects = helm.render(*FULL)
    preflight, controller = objects[f"Pod/{R}-preflight"]["spec"], pod_of(one(objects, "Job"))
    assert preflight["containers"][0].pop("command") == ["python", "-m", "sftjobs.preflight"]
    assert preflight["containers"][0].pop("name") == preflight.pop("serviceAccountName").removeprefix(f"{R}-")
    assert preflight.pop("activeDeadlineSeconds") == 1800
    controller["containers"][0].pop("command")
    controller["containers"][0].pop("name")
    controller.pop("serviceAccountName")
    assert preflight == controller
    accounts = [
        objects[f"ServiceAccount/{R}-{role}"]["metadata"]["annotations"] for role in ("controller", "preflight")
    ]
    assert accounts[0].items() <= accounts[1].items()
