"""The environment of an agent on this machine, from the `env` of its Job."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sftjobs
from sftjobs import names
from sftjobs.backend.folders import JobFolder


class MissingSecretError(Exception):
    """A secret that the Job refers to is not in the controller's environment."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"environment variable {name} is not set: the run spec takes a secret from it (env: {name}); "
            f"export {name} and run again"
        )


def environment(folder: JobFolder, index: int, outside: Mapping[str, str]) -> dict[str, str]:
    """What the agent `index` of the Job sees: the controller's environment, and over it the Job's own.

    Paths of the container become paths below the folder of the Job; a key of the Secret is the environment variable
    of that name. Raises MissingSecretError.
    """
    container = folder.pod["containers"][0]
    paths = _paths(folder, index, container)
    own = {item["name"]: _value(item, paths, outside) for item in container["env"]}
    if names.ENV_LEADER in own:  # there are no pods with names here, and other Jobs on the same machine
        own[names.ENV_LEADER] = f"127.0.0.1:{folder.port}"
    return {**outside, **own, names.ENV_NODE_RANK: str(index), "PYTHONPATH": _python_path(outside)}


def make_folders(folder: JobFolder, index: int) -> None:
    """The empty volumes of one agent."""
    for volume in folder.pod["volumes"]:
        (folder.index(index) / "volumes" / volume["name"]).mkdir(parents=True, exist_ok=True)


def _paths(folder: JobFolder, index: int, container: dict[str, Any]) -> dict[str, Path]:
    volumes = folder.index(index) / "volumes"
    mounted = {mount["mountPath"]: volumes / mount["name"] for mount in container["volumeMounts"]}
    return {**mounted, container["terminationMessagePath"]: folder.index(index) / "termination"}


def _value(item: dict[str, Any], paths: dict[str, Path], outside: Mapping[str, str]) -> str:
    if "valueFrom" in item:
        name = item["valueFrom"]["secretKeyRef"]["key"]
        if name not in outside:
            raise MissingSecretError(name)
        return outside[name]
    value: str = item["value"]
    return str(paths.get(value, value))


def _python_path(outside: Mapping[str, str]) -> str:
    """The agent works in its own folder, so it is told where the controller's package is."""
    source = str(Path(sftjobs.__file__).resolve().parents[1])
    given = outside.get("PYTHONPATH", "")
    return os.pathsep.join([source, given]) if given else source
