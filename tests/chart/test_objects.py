"""Names that the controller relies on, and what it reads."""

import json
from hashlib import sha256
from pathlib import Path

import yaml

from sftjobs import names
from sftjobs.spec.cluster import ClusterSpec
from tests.support.helm import EVERYTHING, RUN, Helm, values

R = "intent-v3"


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
