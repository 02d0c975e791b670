"""Is this image the one that the plan was made for? Else the artifact would not be what its key says."""

import os
from collections.abc import Mapping
from importlib import metadata

from sftjobs import build_info
from sftjobs.errors import DataError
from sftjobs.plan.configs import PROGRAM_VERSIONS
from sftjobs.plan.types import StagePlan

_WAY_OUT = "use images of the release that plans: `make images` builds all of them from one tree"


def check_image(plan: StagePlan, environ: Mapping[str, str] = os.environ) -> None:
    """Raises DataError if the program of this image is another than the one in the plan's key.

    The libraries are those that are really there: an image may be made from ours. Outside an image there is nothing to
    compare: the process backend runs the stages in the environment that planned them.
    """
    image = build_info.read(environ)
    planned = plan.key_json.get("program", {})
    if image is None or not isinstance(planned, dict):
        return
    differences = [
        f"{name} {wanted}, this image has {found}"
        for name, wanted in planned.get("libraries", {}).items()
        if (found := _installed(name)) != wanted
    ]
    version = PROGRAM_VERSIONS[plan.kind]
    if planned.get("version", version) != version:
        wanted = planned["version"]
        differences.append(f"version {wanted} of the {plan.kind} program, this image has version {version}")
    if "source" in planned and planned["source"] != image.source_digest:
        differences.append(f"{_source(planned['source'])}, this image has {_source(image.source_digest)}")
    if differences:
        built = f"this image is sftjobs {image.version}, commit {image.revision}"
        raise DataError(f"the run was planned with {'; with '.join(differences)}; {built}; {_WAY_OUT}")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _source(digest: str | None) -> str:
    return "the stage programs of a commit" if digest is None else f"stage programs with changes ({digest[:12]})"
