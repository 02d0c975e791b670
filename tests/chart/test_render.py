"""What the chart makes: golden files, the same on every machine, valid for every supported Kubernetes."""

from collections.abc import Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.helm import EVERYTHING, ROOT, RUN, Helm, Object

GOLDEN = ROOT / "tests" / "golden" / "chart"
CASES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "everything-set": ("-f", str(EVERYTHING)),
    "controller-elsewhere": ("--set", "controller.enabled=false"),
}
KUBERNETES = [f"1.{minor}" for minor in range(31, 38)]


def text_of(objects: Mapping[str, Object]) -> str:
    ordered = [objects[key] for key in sorted(objects)]
    return yaml.safe_dump_all(ordered, sort_keys=True, width=120, allow_unicode=True)


@pytest.mark.parametrize("case", CASES)
def test_golden(helm: Helm, case: str) -> None:
    """A change of these files is a change of what runs in clusters: look at each line of it."""
    path = GOLDEN / f"{case}.yaml"
    text = text_of(helm.render(*CASES[case]))
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was missing and has been written: look at it and add it")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_twice_the_same(helm: Helm, case: str) -> None:
    """Nothing random and no time: what did not change is not touched by an upgrade."""
    assert helm.text(*CASES[case]) == helm.text(*CASES[case])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid(case: str, version: str) -> None:
    objects = yaml.safe_load_all((GOLDEN / f"{case}.yaml").read_text(encoding="utf-8"))
    count = 0
    for item in objects:
        kubernetes_validate.validate(item, version, strict=True)
        count += 1
    assert count >= 10


def test_the_check_of_validity_finds_a_mistake(helm: Helm) -> None:
    job: Any = next(item for key, item in helm.render().items() if key.startswith("Job/"))
    job["spec"]["template"]["spec"]["tolerationz"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="tolerationz"):
        kubernetes_validate.validate(job, KUBERNETES[0], strict=True)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_lint(helm: Helm, options: tuple[str, ...]) -> None:
    helm.run("lint", "--strict", "charts/sft-run", "--set-file", f"run={RUN}", *options)


def test_names_that_yaml_takes_for_something_else(helm: Helm) -> None:
    """`null`, `on` and `123` are good names of releases, Secrets and namespaces."""
    for release in ("null", "on"):
        objects = helm.render(
            "--set-string", "secret=123", "--set-json", 'pods.all.env={"Y":"1"}', release=release, namespace="123"
        )
        for item in objects.values():
            assert item["metadata"]["namespace"] == "123"
            assert item["metadata"]["labels"]["sftjobs.dev/run"] == release
            kubernetes_validate.validate(item, KUBERNETES[-1], strict=True)
        assert f"Service/{release}" in objects


def test_the_longest_name_fits(helm: Helm) -> None:
    longest = "a" * 29 + "z"
    for key, item in helm.render(release=longest).items():
        assert len(item["metadata"]["name"]) <= 57, f"{key}: a pod has six characters more, and at most 63"
        assert all(len(value) <= 63 for value in item["metadata"]["labels"].values())
