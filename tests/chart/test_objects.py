"""Names that the controller relies on, rights, and fields whose loss would do harm."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from sftjobs import names
from sftjobs.names import Exit
from sftjobs.objects.environment import shared_variables
from sftjobs.objects.settings import pod_settings
from sftjobs.spec.cluster import ClusterSpec
from tests.support.helm import EVERYTHING, RUN, Helm, Object, one, values

R = "intent-v3"
FULL = ("-f", str(EVERYTHING))


def pod_of(job: Object) -> Any:
    return job["spec"]["template"]["spec"]


def environment(pod: Any) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in pod["containers"][0]["env"]}


def test_names_are_those_of_the_controller(helm: Helm) -> None:
    objects = helm.render()
    assert f"ConfigMap/{names.anchor_name(R)}" in objects
    assert f"ConfigMap/{names.run_config_name(R)}" in objects
    assert f"Service/{names.service_name(R)}" in objects
    for role in ("controller", "data", "train", "eval"):
        account = objects[f"ServiceAccount/{names.service_account_name(R, role)}"]
        assert account["metadata"]["labels"][names.LABEL_ROLE] == role
        assert account["automountServiceAccountToken"] is (role == "controller")
    assert all(item["metadata"]["namespace"] == "team" for item in objects.values())
    assert all(item["metadata"]["labels"][names.LABEL_RUN] == R for item in objects.values())


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


def test_the_role_has_six_rules(helm: Helm) -> None:
    rules = one(helm.render("--set", "queue=gpus"), "Role")["rules"]
    without_a_queue = one(helm.render(), "Role")["rules"]
    assert without_a_queue == [rule for rule in rules if rule["resources"] != ["workloads"]]
    rights = {
        (group, resource): sorted(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert len(rules) == 6
    assert rights == {
        ("batch", "jobs"): ["create", "delete", "get", "list", "watch"],
        ("", "pods"): ["get", "list", "watch"],
        ("", "pods/log"): ["get"],
        ("", "events"): ["list", "watch"],
        ("", "configmaps"): ["get"],
        ("kueue.x-k8s.io", "workloads"): ["get", "list", "watch"],
    }
    named = [rule["resourceNames"] for rule in rules if "configmaps" in rule["resources"]]
    assert named == [[names.anchor_name(R), names.run_config_name(R)]]


def test_an_account_that_is_there_already_is_bound_and_not_made(helm: Helm) -> None:
    objects = helm.render("--set", "service_accounts.controller.name=theirs")
    assert one(objects, "RoleBinding")["subjects"] == [
        {"kind": "ServiceAccount", "name": "theirs", "namespace": "team"}
    ]
    assert pod_of(one(objects, "Job"))["serviceAccountName"] == "theirs"
    assert objects[f"Pod/{R}-preflight"]["spec"]["serviceAccountName"] == "theirs"  # what the store knows is tested
    accounts = [key for key in objects if key.startswith("ServiceAccount/")]
    assert sorted(accounts) == [f"ServiceAccount/{R}-{role}" for role in ("data", "eval", "train")]


def test_without_a_controller_nobody_gets_rights(helm: Helm) -> None:
    objects = helm.render("--set", "controller.enabled=false")
    lasting = {key for key, item in objects.items() if "helm.sh/hook" not in item["metadata"].get("annotations", {})}
    assert {key.partition("/")[0] for key in lasting} == {"ConfigMap", "Service", "ServiceAccount", "NetworkPolicy"}
    assert f"ServiceAccount/{R}-controller" not in lasting


def test_kueue_never_holds_the_controller(helm: Helm) -> None:
    job = one(helm.render(*FULL), "Job")
    assert "suspend" not in job["spec"]
    assert "kueue" not in str(job)


def test_the_network_is_the_run(helm: Helm) -> None:
    policy = one(helm.render(), "NetworkPolicy")["spec"]
    ours = {"podSelector": {"matchLabels": {names.LABEL_RUN: R}}}
    assert policy == {**ours, "policyTypes": ["Ingress"], "ingress": [{"from": [ours]}]}
    assert one(helm.render(), "Service")["spec"]["selector"] == {names.LABEL_RUN: R}


def test_egress_is_what_was_named_and_the_run_itself(helm: Helm) -> None:
    policy = one(helm.render(*FULL), "NetworkPolicy")["spec"]
    run, outside, dns = policy["egress"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert run == {"to": policy["ingress"][0]["from"]}
    assert outside == {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "fd00::/8"}}]}
    assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    without = one(helm.render(*FULL, "--set", "network_policy.egress.dns=false"), "NetworkPolicy")["spec"]
    assert without["egress"] == [run, outside]
    assert not [key for key in helm.render("--set", "network_policy.enabled=false") if key.startswith("NetworkPolicy")]


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


def test_the_preflights_rights_go_with_it(helm: Helm) -> None:
    objects = helm.render()
    mine = {key: item for key, item in objects.items() if item["metadata"]["name"] == f"{R}-preflight"}
    assert {key.partition("/")[0] for key in mine} == {"ServiceAccount", "Role", "RoleBinding", "Pod"}
    for key, item in mine.items():
        annotations = item["metadata"]["annotations"]
        gone = annotations["helm.sh/hook-delete-policy"].split(",")
        assert {"before-hook-creation", "hook-succeeded"} <= set(gone)
        assert ("hook-failed" in gone) is (not key.startswith("Pod/")), "the pod of a failed test says why"
    allowed = {verb for rule in mine[f"Role/{R}-preflight"]["rules"] for verb in rule["verbs"]}
    assert allowed == {"create", "delete", "get", "list", "watch"}
    assert "secrets" not in str(mine[f"Role/{R}-preflight"]["rules"])


def test_no_secret_is_needed_to_render_and_none_is_asked_for(helm: Helm) -> None:
    """Secrets are names: of the Secret, and of its keys in run.yaml and cluster.yaml."""
    objects = helm.render(*FULL)
    assert not [key for key in objects if key.startswith("Secret/")]
    for pod in (pod_of(one(objects, "Job")), objects[f"Pod/{R}-preflight"]["spec"]):
        assert not [
            value for name, value in environment(pod).items() if name in ("SFT_KEY", "SFT_SECRET", "WEBHOOK_URL")
        ]


def test_the_run_arrives_byte_for_byte(helm: Helm, tmp_path: Path) -> None:
    windows = tmp_path / "run.yaml"
    windows.write_bytes(RUN.read_bytes().replace(b"\n", b"\r\n") + b"  \n\n")
    for file in (RUN, windows):
        data = helm.render(run=file)[f"ConfigMap/{names.run_config_name(R)}"]["data"]
        assert data["run.yaml"].encode() == file.read_bytes()


def test_the_anchor_knows_its_run(helm: Helm) -> None:
    anchor = helm.render()[f"ConfigMap/{names.anchor_name(R)}"]
    expected = sha256(RUN.read_bytes()).hexdigest()
    assert anchor["metadata"]["annotations"][names.ANNOTATION_RUN_HASH] == expected
    assert anchor["data"] == {"release": R, "run_hash": expected}


def test_the_controller_reads_the_cluster_that_was_written(helm: Helm, tmp_path: Path) -> None:
    written = yaml.safe_load(EVERYTHING.read_text(encoding="utf-8"))
    for content in ({}, written, {**written, "queue": None, "queue_priority": None, "global": {"other": 1}}):
        data = helm.render(*values(tmp_path / "values.yaml", content))[f"ConfigMap/{names.run_config_name(R)}"]["data"]
        expected = ClusterSpec.model_validate({key: value for key, value in content.items() if key != "global"})
        assert ClusterSpec.model_validate_json(data[names.CLUSTER_KEY]) == expected
        assert set(data) == {names.CLUSTER_KEY, names.RUN_YAML}
        assert "global" not in json.loads(data[names.CLUSTER_KEY])
