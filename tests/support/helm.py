"""The real helm, 3 and 4: `make chart-test` fetches them into .tools/helm."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "sft-run"
RUN = ROOT / "tests" / "chart" / "data" / "run.pushed.yaml"
EVERYTHING = ROOT / "tests" / "chart" / "data" / "everything.yaml"
"""A cluster.yaml in which every field has another value than its default."""
VERSIONS = ("helm3", "helm4")
Object = dict[str, Any]


class Helm:
    """One version of helm, without a cluster."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.program = ROOT / ".tools" / "helm" / name
        assert self.program.is_file(), f"{self.program} is missing: make chart-test, or python hack/fetch_helm.py"

    def run(self, *arguments: str, code: int = 0) -> str:
        """What it printed, errors too."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=ROOT,
            env={**os.environ, "KUBECONFIG": os.devnull},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{self.name} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def text(self, *options: str, release: str = "intent-v3", namespace: str = "team", run: Path = RUN) -> str:
        """The manifests as Helm prints them."""
        return self.run("template", release, str(CHART), "--namespace", namespace, "--set-file", f"run={run}", *options)

    def render(self, *options: str, **more: Any) -> dict[str, Object]:
        """`Kind/name` -> object."""
        found = [item for item in yaml.safe_load_all(self.text(*options, **more)) if item is not None]
        named = {f"{item['kind']}/{item['metadata']['name']}": item for item in found}
        assert len(named) == len(found), "two objects of one kind and name"
        return named

    def refusal(self, *options: str, **more: Any) -> str:
        """What a person reads when the values are refused, on one line."""
        arguments = {"release": "intent-v3", "namespace": "team", "run": RUN, **more}
        said = self.run(
            "template",
            arguments["release"],
            str(CHART),
            "--namespace",
            arguments["namespace"],
            *(("--set-file", f"run={arguments['run']}") if arguments["run"] else ()),
            *options,
            code=1,
        )
        return " ".join(said.split())


def values(path: Path, content: Mapping[str, Any]) -> tuple[str, str]:
    """Options that give Helm these values by a file."""
    path.write_text(yaml.safe_dump(dict(content), allow_unicode=True), encoding="utf-8")
    return ("-f", str(path))


def one(objects: Mapping[str, Object], kind: str) -> Object:
    """The only object of a kind that is no hook."""
    found = [
        item
        for key, item in objects.items()
        if key.startswith(f"{kind}/") and "helm.sh/hook" not in item["metadata"].get("annotations", {})
    ]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


def pod_of(job: Object) -> Any:
    return job["spec"]["template"]["spec"]


def environment(pod: Any) -> dict[str, Any]:
    """Variable -> value, or where it comes from."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in pod["containers"][0]["env"]}
