"""Faults of a node and of the control plane, through a driver: the lab's, kind's, or none.

Components are called kubelet, apiserver, controller-manager, scheduler. The lab proves these tests; kind's driver does
the same to a kind node from the outside and needs Docker.
"""

import subprocess
from pathlib import Path
from typing import Protocol

import pytest


class Faults(Protocol):
    """What can be done to a cluster from below."""

    def kill(self, component: str) -> None:
        """SIGKILL; whether it comes back by itself is up to the cluster: call `start` in any case."""

    def stop(self, component: str) -> None: ...

    def start(self, component: str) -> None: ...

    def freeze(self, component: str) -> None:
        """SIGSTOP: connections stay open and nothing answers."""

    def thaw(self, component: str) -> None: ...


class LabFaults:
    """The lab's own `fault` command."""

    def __init__(self, lab: Path) -> None:
        self.lab = lab

    def kill(self, component: str) -> None:
        self._do("kill", component)

    def stop(self, component: str) -> None:
        self._do("stop", component)

    def start(self, component: str) -> None:
        self._do("start", component)

    def freeze(self, component: str) -> None:
        self._do("freeze", component)

    def thaw(self, component: str) -> None:
        self._do("thaw", component)

    def _do(self, verb: str, component: str) -> None:
        done = subprocess.run([self.lab / "fault", verb, component], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"fault {verb} {component}: {done.stderr}"


class KindFaults:
    """A kind node is a container with systemd: the kubelet is its service, the control plane are static pods."""

    def __init__(self, node: str) -> None:
        self._node = node

    def kill(self, component: str) -> None:
        self._signal(component, "KILL")

    def stop(self, component: str) -> None:
        if component == "kubelet":
            self._run("systemctl", "stop", "kubelet")
        else:
            self._run("mv", _manifest(component, away=False), _manifest(component, away=True))

    def start(self, component: str) -> None:
        if component == "kubelet":
            self._run("systemctl", "start", "kubelet")
        else:
            away, here = _manifest(component, away=True), _manifest(component, away=False)
            self._run("sh", "-c", f"test ! -e {away} || mv {away} {here}")

    def freeze(self, component: str) -> None:
        self._signal(component, "STOP")

    def thaw(self, component: str) -> None:
        self._signal(component, "CONT")

    def _signal(self, component: str, signal: str) -> None:
        program = component if component == "kubelet" else f"kube-{component}"
        self._run("pkill", f"-{signal}", "-x", program[:15])  # the kernel keeps 15 characters of a name

    def _run(self, *command: str) -> None:
        done = subprocess.run(["docker", "exec", self._node, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self._node}: {' '.join(command)}: {done.stderr}"


def _manifest(component: str, *, away: bool) -> str:
    folder = "/etc/kubernetes" if away else "/etc/kubernetes/manifests"
    return f"{folder}/kube-{component}.yaml"


class NoFaults:
    """A cluster that is not ours to break."""

    def kill(self, component: str) -> None:
        _skip(component)

    stop = start = freeze = thaw = kill


def _skip(component: str) -> None:
    pytest.skip(f"no driver for faults of {component} in this cluster (the lab has one; kind: SFTJOBS_KIND_NODES)")
