"""Install a release from here, without a controller in the cluster, as a person does it: by helm."""

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftjobs import names
from sftjobs.errors import BusyError, DataError, SftError
from sftjobs.kube.api import Api, ApiError, from_kubeconfig
from sftjobs.release.release import Release, cluster_of, read_release
from sftjobs.spec.cluster import ClusterSpec

HELM = "helm"
CHART = Path("charts", "sft-run")
SHARED = Path("share", "sftjobs")
"""Where the wheel has the chart, below the data folder of the environment; pyproject.toml says so."""


@dataclass(frozen=True)
class Helm:
    """The helm of this machine and what it installs."""

    program: str
    chart: str
    context: str | None

    def upgrade(self, name: str, namespace: str, values: Mapping[str, Any]) -> None:
        """Install the release or change it. Raises DataError with what helm said.

        Values go in by standard input: in the name of a file a comma would mean two.
        """
        arguments = ["upgrade", "--install", name, self.chart, "--namespace", namespace, "--values", "-"]
        arguments += ["--kube-context", self.context] if self.context else []
        command = [self.program, *arguments]
        done = subprocess.run(command, input=as_yaml(values), capture_output=True, text=True, check=False)
        if done.returncode:
            said = "\n".join(line for line in done.stderr.splitlines() if line.strip())
            raise DataError(f"`{HELM} {' '.join(arguments)}` ended with exit code {done.returncode}:\n{said}")


def as_yaml(values: Mapping[str, Any]) -> str:
    """JSON that is YAML, too: in YAML an escape is one character, never half of a pair, and a bare line separator of
    Unicode would be a line break."""
    text = json.dumps(values, ensure_ascii=False)
    return re.sub(r"[^ -~]", lambda found: f"\\U{ord(found[0]):08x}", text)


def find_helm(chart: str | None, context: str | None) -> Helm:
    """Raises DataError if helm or the chart is missing. `chart` is whatever helm takes: a folder, a package, oci://."""
    program = shutil.which(HELM)
    if program is None:
        way_out = "install Helm 3.17 or 4 (https://helm.sh/docs/intro/install)"
        raise DataError(f"there is no {HELM} in PATH, and the chart is installed by it; {way_out}")
    return Helm(program, chart or str(_own_chart()), context)


def _own_chart() -> Path:
    """The chart that belongs to this version: that of the checkout, or the one that the wheel brought."""
    places = [Path(__file__).resolve().parents[2], Path(sysconfig.get_path("data")) / SHARED]
    found = next((place / CHART for place in places if (place / CHART / "Chart.yaml").is_file()), None)
    if found is None:
        raise DataError(f"this installation has no chart; give --chart, the folder {CHART} of a checkout or a package")
    return found


def connect(context: str | None, namespace: str | None) -> Api:
    """The cluster of a context of the kubeconfig. Raises DataError if there is no such context."""
    try:
        return from_kubeconfig(context, namespace)
    except ApiError as error:
        raise DataError(str(error)) from error


def install(helm: Helm, api: Api, name: str, run_text: bytes, cluster: ClusterSpec) -> Release:
    """Install the release, or change it to this cluster.yaml; another run.yaml is refused by the chart.

    Raises DataError if a person must do something, BusyError if its controller is in the cluster, SftError if the
    API server does not answer.
    """
    values = cluster.model_dump(mode="json", exclude_unset=True)
    values["controller"] = {**values.get("controller", {}), "enabled": False}
    values["run"] = run_text.decode("utf-8")
    try:
        _refuse_controller_in_cluster(api, name)
        helm.upgrade(name, api.namespace, values)
        return read_release(api, name)
    except ApiError as error:
        kind = SftError if error.may_pass else DataError
        raise kind(f"namespace {api.namespace}: {error}") from error


def _refuse_controller_in_cluster(api: Api, name: str) -> None:
    """Taking a run away from a controller that works is never what somebody meant."""
    try:
        installed = cluster_of(api.get("configmaps", names.run_config_name(name)))
    except ApiError as error:
        if error.status == 404:
            return
        raise
    if installed.controller.enabled:
        again = f"`helm upgrade {name} CHART -n {api.namespace} --reuse-values --set controller.again=N`"
        raise BusyError(
            f"release {name} in namespace {api.namespace} has its controller in the cluster; {again} tries the run "
            f"again there, `helm uninstall {name} -n {api.namespace}` makes room for a controller here"
        )
