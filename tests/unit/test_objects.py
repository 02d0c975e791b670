"""The Job of an attempt: golden files, and the fields whose loss would do harm."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sftjobs import names
from sftjobs.attempts import Intent
from sftjobs.objects import JobSettings, OwnerReference, build_job
from sftjobs.objects.settings import store_in_cluster
from sftjobs.plan.types import Operation, Resources
from sftjobs.spec.cluster import (
    CaBundleSpec,
    ClusterSpec,
    ClusterStoreSpec,
    HubSpec,
    ImagesSpec,
    NodeCacheSpec,
    PodSpec,
    PodsSpec,
    ProxySpec,
    ServiceAccountSpec,
    ServiceAccountsSpec,
)
from sftjobs.spec.run import StoreSpec
from sftjobs.spec.secret import FromEnv
from tests.support.chains import NOW, RUN_ID, stage_plan

GOLDEN = Path(__file__).parents[1] / "golden" / "objects"
IMAGES = ImagesSpec(data="sftjobs/data:1", train="sftjobs/train:1", eval="sftjobs/eval:1")
SETTINGS = JobSettings(
    store=StoreSpec(
        uri="s3://bucket/sft",
        endpoint="https://s3.example.org",
        access_key=FromEnv(env="SFT_KEY"),
        secret_key=FromEnv(env="SFT_SECRET"),
    ),
    cluster=ClusterSpec(images=IMAGES, secret="sft-secrets"),
    namespace="team",
    owner=OwnerReference(name="demo-anchor", uid="0b2c"),
)


def intent(**more: Any) -> Intent:
    plan = stage_plan("train").model_copy(update=more)
    return Intent(run_id=RUN_ID, attempt=2, job=names.job_name("demo", "train", 2), plan=plan, created=NOW)


PLAIN = JobSettings(store=StoreSpec(uri="/srv/store"), cluster=ClusterSpec(images=IMAGES))
FULL = ClusterSpec(
    images=IMAGES.model_copy(update={"pull_policy": "Always", "pull_secrets": ["registry"]}),
    service_accounts=ServiceAccountsSpec(train=ServiceAccountSpec(name="gpu-team")),
    queue="team-a",
    queue_priority="high",
    priority_class="batch",
    scheduler="binpacking",
    cpu_per_thread=0.25,
    pods=PodsSpec(
        all=PodSpec(
            node_selector={"pool": "any"},
            tolerations=[{"key": "batch", "operator": "Exists"}],
            env={"TZ": "Asia/Shanghai"},
            secret_env=["WANDB_API_KEY"],
        ),
        train=PodSpec(
            node_selector={"pool": "h100"},
            tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
            affinity={"nodeAffinity": {}},
            runtime_class="nvidia",
            volumes=[{"name": "rdma", "emptyDir": {}}],
            volume_mounts=[{"name": "rdma", "mountPath": "/rdma"}],
        ),
    ),
    proxy=ProxySpec(https="http://proxy:3128"),
    ca_bundle=CaBundleSpec(config_map="company-ca"),
    hub=HubSpec(endpoint="https://hub.example.org"),
    labels={"team": "nlp"},
    annotations={"example.org/cost": "42"},
    node_cache=NodeCacheSpec(host_path="/var/cache/sftjobs"),
)

SMALL = intent(operation=Operation(secrets={"hub_token": "HF_TOKEN"}))
GROUP = intent(
    kind="train",
    resources=Resources(
        nodes=4, gpus_per_node=8, processes_per_node=8, threads_per_process=4, memory_gib=900, disk_gib=500
    ),
    operation=Operation(grace_s=300),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("job-one-node", build_job(SMALL, SETTINGS)),
        ("job-four-nodes", build_job(GROUP, SETTINGS)),
        ("job-defaults", build_job(intent(), PLAIN)),
        ("job-everything-set", build_job(GROUP, JobSettings(store=SETTINGS.store, cluster=FULL, namespace="team"))),
    ],
)
def test_golden(name: str, value: dict[str, Any]) -> None:
    """A change of these files is a change of what runs in clusters: look at each line of it."""
    path = GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump(value, sort_keys=False, width=120)
    if not path.exists():
        path.write_text(text)
        pytest.fail(f"{path.name} was missing and has been written: look at it and add it")
    assert text == path.read_text()


def pod(value: Intent) -> Any:
    return build_job(value, SETTINGS)["spec"]["template"]["spec"]


def environment(value: Intent) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in pod(value)["containers"][0]["env"]}


def test_a_single_node_needs_no_host_name() -> None:
    assert "subdomain" not in pod(SMALL)


def test_the_group_is_one_whole() -> None:
    spec = build_job(GROUP, SETTINGS)["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (4, 4, 0)
    assert spec["podReplacementPolicy"] == "Failed"
    assert pod(GROUP)["restartPolicy"] == "Never"
    assert pod(GROUP)["subdomain"] == names.service_name("demo")


def test_secrets_are_references() -> None:
    text = str(build_job(SMALL, SETTINGS))
    for name in ("HF_TOKEN", "SFT_KEY", "SFT_SECRET"):
        assert environment(SMALL)[name] == {"secretKeyRef": {"name": "sft-secrets", "key": name}}
    assert "value': 'hf_" not in text


def test_the_agent_finds_its_stage() -> None:
    found = environment(SMALL)
    assert (found[names.ENV_RUN_ID], found[names.ENV_STAGE], found[names.ENV_ATTEMPT]) == (RUN_ID, "train", "2")
    assert StoreSpec.model_validate_json(found[names.ENV_STORE]) == SETTINGS.store
    mounts = {mount["mountPath"] for mount in pod(SMALL)["containers"][0]["volumeMounts"]}
    assert found[names.ENV_WORKDIR] in mounts


def test_pod_security_is_restricted() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, profile Restricted."""
    spec = pod(GROUP)
    container = spec["containers"][0]["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert {key for volume in spec["volumes"] for key in volume} == {"name", "emptyDir"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["automountServiceAccountToken"] is False


def test_no_owner_no_reference() -> None:
    job = build_job(SMALL, PLAIN)
    assert "ownerReferences" not in job["metadata"]


def test_names_and_labels_fit() -> None:
    metadata = build_job(GROUP, SETTINGS)["metadata"]
    assert metadata["name"] == "demo-train-a2"
    assert all(len(value) <= 63 for value in metadata["labels"].values())
    assert metadata["annotations"][names.ANNOTATION_STAGE_KEY] == GROUP.plan.key


def test_a_queue_holds_the_job_back_and_its_labels_are_on_the_job_alone() -> None:
    job = build_job(SMALL, JobSettings(store=SETTINGS.store, cluster=FULL))
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"][names.LABEL_QUEUE] == "team-a"
    assert names.LABEL_QUEUE not in job["spec"]["template"]["metadata"]["labels"]
    assert "suspend" not in build_job(SMALL, SETTINGS)["spec"]


def test_the_grace_of_the_pod_is_longer_than_that_of_its_agent() -> None:
    assert pod(GROUP)["terminationGracePeriodSeconds"] > GROUP.plan.operation.grace_s


def test_the_spec_hash_tells_jobs_apart() -> None:
    hashes = {
        build_job(SMALL, settings)["metadata"]["annotations"][names.ANNOTATION_SPEC_HASH]
        for settings in (SETTINGS, PLAIN, SETTINGS.model_copy(update={"namespace": "other"}))
    }
    assert len(hashes) == 2, "the namespace is not part of what the Job does"


def test_the_store_as_pods_reach_it() -> None:
    cluster = ClusterSpec(store=ClusterStoreSpec(endpoint="http://seaweedfs:8333", access_key=FromEnv(env="OTHER")))
    found = store_in_cluster(SETTINGS.store, cluster)
    assert (found.uri, found.endpoint) == ("s3://bucket/sft", "http://seaweedfs:8333")
    assert (found.access_key, found.secret_key) == (FromEnv(env="OTHER"), FromEnv(env="SFT_SECRET"))
    assert store_in_cluster(SETTINGS.store, ClusterSpec()) == SETTINGS.store
