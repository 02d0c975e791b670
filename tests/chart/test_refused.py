"""What a person reads when a release is refused: the value, the rule and the way out."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sftjobs import names
from tests.support.helm import RUN, Helm

# path=JSON -> words of Helm 3, words of Helm 4: each names the place and the rule
SCHEMA: dict[str, tuple[str, str]] = {
    'tolerations=[{"key":"a"}]': ("Additional property tolerations", "'tolerations' not allowed"),
    'pods.train.tolerationz=[{"key":"a"}]': (
        "pods.train: Additional property tolerationz",
        "'/pods/train': additional properties 'tolerationz'",
    ),
    "store.token=1": ("store: Additional property token", "'/store': additional properties 'token'"),
    "store.access_key.value=1": ("Additional property value", "additional properties 'value'"),
    'store.access_key.env="a b"': ("store.access_key.env: Does not match", "'/store/access_key/env': 'a b' does not"),
    'images.train="has space"': ("images.train: Does not match pattern", "'/images/train': 'has space' does not match"),
    'images.pull_policy="Sometimes"': ('"IfNotPresent", "Always", "Never"', "'IfNotPresent', 'Always', 'Never'"),
    "queue=7": ("queue: Invalid type", "'/queue': got number"),
    'queue=""': ("queue: Does not match pattern", "'/queue': '' does not match"),
    "secret=null": ("secret is required", "missing property 'secret'"),
    "proxy=null": ("proxy is required", "missing property 'proxy'"),
    "ca_bundle={}": ("config_map is required", "'/ca_bundle': missing property 'config_map'"),
    "network_policy.egress={}": ("cidrs is required", "missing property 'cidrs'"),
    'network_policy.egress.cidrs=["10.0.0.1"]': ("egress.cidrs.0: Does not match", "'10.0.0.1' does not match"),
    'labels={"a b":"c"}': ("labels: Additional property a b", "'/labels': additional properties 'a b'"),
    'labels={"team":"a b"}': ("labels.team: Does not match", "'/labels/team': 'a b' does not match"),
    'labels={"centre":7}': ("labels.centre: Invalid type", "'/labels/centre': got number, want string"),
    'pods.all.env={"A":1}': ("pods.all.env.A: Invalid type", "'/pods/all/env/A': got number"),
    'pods.all.env={"A B":"1"}': ("pods.all.env: Additional property A B", "'/pods/all/env': additional properties"),
    'controller.memory="lots"': ("controller.memory: Does not match", "'/controller/memory': 'lots' does not match"),
    "controller.again=1.5": ("controller.again: Invalid type", "'/controller/again': got number, want integer"),
    "controller.again=-1": ("controller.again: Must be greater", "'/controller/again': minimum: got -1, want 0"),
    "image_patience_s=1": ("image_patience_s: Must be greater", "'/image_patience_s': minimum: got 1, want 10"),
    "cpu_per_thread=0": ("cpu_per_thread: Must be greater than 0", "exclusiveMinimum: got 0, want 0"),
    "security.user=0": ("security.user: Must be greater", "'/security/user': minimum: got 0, want 1"),
}

RULES: dict[str, tuple[str, ...]] = {
    'node_cache={"host_path":"/x","claim":"y"}': ("host_path is '/x' and claim is 'y'", "Take one of them out"),
    "node_cache={}": ("node_cache: neither host_path nor claim is set", "Set one of them, or leave node_cache out"),
    'labels={"sftjobs.dev/run":"x"}': ("labels: sftjobs.dev/run is set by the chart itself", "a label of your own"),
    'labels={"app.kubernetes.io/name":"x"}': ("app.kubernetes.io/name is set by the chart itself",),
    'labels={"kueue.x-k8s.io/queue-name":"q"}': ("would also queue the controller", "Set `queue`"),
    'pods.data.env={"SFTJOBS_STORE":"x"}': ("pods.data.env: SFTJOBS_STORE is set by sftjobs itself", "take it out"),
    'pods.train.secret_env=["SFTJOBS_RUN_ID"]': ("pods.train.secret_env: SFTJOBS_RUN_ID is set by sftjobs itself",),
    'pods.train.volumes=[{"name":"tmp","emptyDir":{}}]': ("pods.train.volumes: a volume called tmp is there already",),
    'webhook={"url":"http://a","url_from":{"env":"A"}}': ("both url and url_from", "Keep url_from if"),
    'queue_priority="high"': ("queue_priority: 'high' has no meaning without `queue`", "priority_class"),
}


@pytest.mark.parametrize("value", SCHEMA)
def test_the_schema_names_the_place_and_the_rule(helm: Helm, value: str) -> None:
    assert SCHEMA[value][helm.name == "helm4"] in helm.refusal("--set-json", value)


@pytest.mark.parametrize("value", RULES)
def test_rules_between_fields(helm: Helm, value: str) -> None:
    said = helm.refusal("--set-json", value)
    for words in RULES[value]:
        assert words in said


@pytest.mark.parametrize("name", ["1a", "a.b", "a" * 31, "x" * 53])
def test_a_release_is_named_as_a_run(helm: Helm, name: str) -> None:
    assert not names.is_run_name(name)
    said = helm.refusal(release=name)
    assert f"release name '{name}'" in said
    assert names.RUN_NAME_RULE in said
    assert "Install it under another name" in said


@pytest.mark.parametrize("name", ["a", "a" * 30, "a-1-b", "x1"])
def test_every_name_of_a_run_is_taken(helm: Helm, name: str) -> None:
    assert names.is_run_name(name)
    assert f"ConfigMap/{name}-anchor" in helm.render(release=name)


def test_without_a_run(helm: Helm, tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text(" \n\n", encoding="utf-8")
    for run in (None, empty):
        said = helm.refusal(run=run)
        assert "run: nothing is given" in said
        assert "--set-file run=run.pushed.yaml" in said


def test_run_yaml_given_as_values(helm: Helm) -> None:
    assert "held_out" not in helm.refusal("-f", str(RUN))  # the first level says it all
    assert "data" in helm.refusal("-f", str(RUN))


def changed(tmp_path: Path, change: Any) -> Path:
    run = yaml.safe_load(RUN.read_text(encoding="utf-8"))
    change(run)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(run), encoding="utf-8")
    return file


LOCAL: dict[str, Any] = {
    "model is '../models/base'": lambda run: run.update(model="../models/base"),
    "model is 'base.gguf'": lambda run: run.update(model={"path": "base.gguf"}),
    "prompt is 'prompts/intent.yaml'": lambda run: run.update(prompt="prompts/intent.yaml"),
    "data.tasks.intent.path is 'data/train.jsonl'": lambda run: run["data"]["tasks"]["intent"].update(
        path="data/train.jsonl"
    ),
    "data.general.path is '/srv/general.jsonl'": lambda run: run["data"].update(general={"path": "/srv/general.jsonl"}),
    "data.held_out.path is 'test.jsonl'": lambda run: run["data"].update(held_out={"path": "test.jsonl"}),
}


@pytest.mark.parametrize("place", LOCAL)
def test_local_paths(helm: Helm, place: str, tmp_path: Path) -> None:
    said = helm.refusal(run=changed(tmp_path, LOCAL[place]))
    assert f"run: {place}: a path on one machine, which no pod can read" in said
    assert "`sftjobs push run.yaml`" in said


@pytest.mark.parametrize("store", [None, ".sftjobs", {"uri": "/srv/store"}])
def test_a_store_that_pods_cannot_reach(helm: Helm, store: Any, tmp_path: Path) -> None:
    said = helm.refusal(run=changed(tmp_path, lambda run: run.update(store=store)))
    assert "run: store is" in said
    assert "s3://bucket/prefix" in said


def test_a_run_that_is_no_yaml(helm: Helm, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("name: [", encoding="utf-8")
    said = helm.refusal(run=file)
    assert "run: not a YAML mapping" in said
    assert "`sftjobs check run.yaml`" in said


def test_a_run_that_is_not_utf_8(helm: Helm, tmp_path: Path) -> None:
    """JSON would put a replacement character where the byte was: another prompt than the one that was written."""
    file = tmp_path / "run.yaml"
    file.write_bytes(RUN.read_text(encoding="utf-8").replace("🙂", "").encode("gb18030"))
    assert "run: not UTF-8 text" in helm.refusal(run=file)


def test_a_run_that_no_configmap_takes(helm: Helm, tmp_path: Path) -> None:
    """Counted in bytes: a Chinese prompt has three for each character."""
    file = tmp_path / "run.yaml"
    file.write_text(RUN.read_text(encoding="utf-8") + "# " + "中" * 299_900 + "\n", encoding="utf-8")
    said = helm.refusal(run=file)
    assert f"run: {file.stat().st_size} bytes" in said
    assert "at most 900000" in said


def test_an_old_kubernetes(helm: Helm) -> None:
    assert ">=1.31.0-0" in helm.refusal("--kube-version", "1.30.9")


def test_every_bad_value_is_bad_for_the_command_line_too(tmp_path: Path) -> None:
    """`sftjobs run --cluster` refuses what Helm refuses: one model is behind both."""
    from sftjobs.errors import SpecError
    from sftjobs.spec.cluster_load import load_cluster

    for value in SCHEMA:
        path, _, text = value.partition("=")
        content: Any = json.loads(text)
        for key in reversed(path.split(".")):
            content = {key: content}
        file = tmp_path / "cluster.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(SpecError):
            load_cluster(file)
            pytest.fail(f"{value} is taken")
