"""Who may do what, who may talk to whom, and where secrets are."""

from sftjobs import names
from tests.support.helm import EVERYTHING, Helm, environment, one, pod_of

R = "intent-v3"
FULL = ("-f", str(EVERYTHING))


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
