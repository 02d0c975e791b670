"""Values as `sftjobs run --backend kubernetes` gives them to helm, by standard input."""

import os
import subprocess

import pytest
import yaml

from sftjobs.release.install import as_yaml
from sftjobs.spec.cluster import ClusterSpec
from tests.support.helm import CHART, RUN, Helm

TEXT = RUN.read_text("utf-8")


@pytest.mark.parametrize(
    "run",
    [
        TEXT,
        TEXT + "# 意图 é \N{GRINNING FACE} \N{NO-BREAK SPACE} 'single' \"double\" \\ud83d \\n {{ text }}\n",
        TEXT + "\n\n# a comma, and the end without a line break",
        TEXT.replace("\n", "\r\n"),
    ],
    ids=["plain", "characters", "end", "windows"],
)
def test_every_byte_of_the_run_arrives(helm: Helm, run: str) -> None:
    cluster = ClusterSpec.model_validate({"queue": "team", "labels": {"team": "nlp"}})
    values = {**cluster.model_dump(mode="json", exclude_unset=True), "controller": {"enabled": False}, "run": run}
    done = subprocess.run(
        [helm.program, "template", "intent-v3", str(CHART), "--values", "-"],
        input=as_yaml(values),
        env={**os.environ, "KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    config = next(item for item in objects if item["metadata"]["name"] == "intent-v3-run")
    assert config["data"]["run.yaml"] == run
    assert ClusterSpec.model_validate_json(config["data"]["cluster.json"]).queue == "team"
    assert not [item for item in objects if item["kind"] == "Job"], "the controller is on the laptop"
