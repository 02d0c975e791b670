"""values.yaml, values.schema.json and Chart.yaml follow the model and the package."""

import json
from typing import Any

import jsonschema
import yaml

from sftjobs import __version__
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.fields import Fields
from tests.support.helm import CHART, EVERYTHING, Helm

EXCLUSIVE = {"node_cache.claim", "webhook.url"}
"""Only one of two can be set."""


def read(name: str) -> Any:
    return yaml.safe_load((CHART / name).read_text(encoding="utf-8"))


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = read("Chart.yaml")
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_defaults_are_those_of_the_model() -> None:
    values = read("values.yaml")
    assert values.pop("run") == ""
    assert values == ClusterSpec().model_dump(exclude_none=True)


def test_the_schema_is_one_that_helm_3_17_knows() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_no_level_takes_unknown_keys() -> None:
    """But what Kubernetes defines itself: tolerations, affinity, volumes."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for name, level in {"top": schema, **schema["$defs"]}.items():
        assert level["additionalProperties"] is False, name
        for field, said in level["properties"].items():
            assert said.get("additionalProperties") is False or "patternProperties" not in said, f"{name}.{field}"


def test_everything_yaml_sets_every_field() -> None:
    """So that the golden file shows what each of them does."""
    everything = yaml.safe_load(EVERYTHING.read_text(encoding="utf-8"))
    some_roles = ("pods.data.", "pods.train.", "pods.eval.", "service_accounts.")
    missing = {path for path in Fields(ClusterSpec).paths() if not has(everything, path)}
    assert {path for path in missing if not path.startswith(some_roles)} == EXCLUSIVE


def test_the_example_is_taken(helm: Helm) -> None:
    assert helm.render("-f", "examples/cluster/cluster.yaml")


def has(tree: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True


def test_the_package_has_everything(helm: Helm, tmp_path: Any) -> None:
    helm.run("package", "charts/sft-run", "--destination", str(tmp_path))
    archive = tmp_path / f"sft-run-{__version__}.tgz"
    shown = helm.run("show", "all", str(archive))
    assert "kubeVersion: '>=1.31.0-0'" in shown
    assert "# sft-run" in shown
