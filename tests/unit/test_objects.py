"""The Job of an attempt: golden files, and the fields whose loss would do harm."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sftjobs import names
from sftjobs.attempts import Intent
from sftjobs.objects import JobSettings, OwnerReference, build_job, build_service
from sftjobs.plan.types import Operation, Resources
from sftjobs.spec.run import FromEnv, StoreSpec
from tests.support.chains import NOW, RUN_ID, stage_plan

GOLDEN = Path(__file__).parents[1] / "golden" / "objects"
SETTINGS = JobSettings(
    store=StoreSpec(
        uri="s3://bucket/sft",
        endpoint="https://s3.example.org",
        access_key=FromEnv(env="SFT_KEY"),
        secret_key=FromEnv(env="SFT_SECRET"),
    ),
    images={"data": "sftjobs/data:1", "train": "sftjobs/train:1", "eval": "sftjobs/eval:1"},
    namespace="team",
    secret="sft-secrets",
    service_account="sft-stage",
    owner=OwnerReference(name="demo-anchor", uid="0b2c"),
)


def intent(**more: Any) -> Intent:
    plan = stage_plan("train").model_copy(update=more)
    return Intent(run_id=RUN_ID, attempt=2, job=names.job_name("demo", "train", 2), plan=plan, created=NOW)


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
        ("service-four-nodes", build_service(GROUP, SETTINGS)),
        ("job-defaults", build_job(intent(), JobSettings(store=StoreSpec(uri="/srv/store"), images=SETTINGS.images))),
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


def test_a_single_node_needs_no_service() -> None:
    assert build_service(SMALL, SETTINGS) is None
    assert "subdomain" not in pod(SMALL)


def test_the_group_is_one_whole() -> None:
    spec = build_job(GROUP, SETTINGS)["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (4, 4, 0)
    assert spec["podReplacementPolicy"] == "Failed"
    assert pod(GROUP)["restartPolicy"] == "Never"
    service = build_service(GROUP, SETTINGS)
    assert service is not None
    assert pod(GROUP)["subdomain"] == service["metadata"]["name"]


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
    job = build_job(SMALL, JobSettings(store=StoreSpec(uri="/srv/store")))
    assert "ownerReferences" not in job["metadata"]


def test_names_and_labels_fit() -> None:
    metadata = build_job(GROUP, SETTINGS)["metadata"]
    assert metadata["name"] == "demo-train-a2"
    assert all(len(value) <= 63 for value in metadata["labels"].values())
    assert metadata["annotations"][names.ANNOTATION_STAGE_KEY] == GROUP.plan.key
