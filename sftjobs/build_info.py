"""What an image was built from. `sftjobs/plan/versions.py` asks here first: in the image of the controller there is no
torch to ask, and the images have no git.

    python -m sftjobs.build_info /opt/sftjobs/build-info.json     (a step of every Dockerfile in images/)
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sftjobs import __version__, names
from sftjobs.canonical import readable
from sftjobs.errors import DataError
from sftjobs.model import Document
from sftjobs.plan.configs import LIBRARIES


class BuildInfo(Document):
    """The file that ENV_BUILD_INFO names."""

    version: str
    """Of sftjobs."""
    revision: str
    """The commit; ends in `-dirty` if the tree had changes."""
    variant: str
    """`cpu` or the CUDA version of torch, such as `cu129`."""
    base: str
    """The image that all others are built on."""
    source_digest: str | None
    """`versions.source_digest()` of the tree that the image was built from."""
    libraries: dict[str, str]
    """Versions in the stage images of every library that enters a stage key."""


def read(environ: Mapping[str, str] = os.environ) -> BuildInfo | None:
    """The build info of this image; None outside an image. Raises DataError if it cannot be read."""
    path = environ.get(names.ENV_BUILD_INFO)
    if not path:
        return None
    try:
        return BuildInfo.model_validate_json(Path(path).read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        way_out = "use the images that `make images` builds, and nothing but their own value of this variable"
        raise DataError(f"{names.ENV_BUILD_INFO}: {path}: not the build info of an image: {first}; {way_out}") from None


def collect(parents: Path, environ: Mapping[str, str]) -> BuildInfo:
    """Build info from what the lower images left in `parents` and the build arguments.

    base: a name; torch.json: {"variant": ..., "packages": {name: version}}.
    """
    torch = json.loads((parents / "torch.json").read_text("utf-8"))
    wanted = sorted({library for libraries in LIBRARIES.values() for library in libraries})
    found = {_plain(name): version for name, version in torch["packages"].items()}
    return BuildInfo(
        version=__version__,
        revision=environ.get("REVISION") or "unknown",
        variant=torch["variant"],
        base=(parents / "base").read_text("utf-8").strip(),
        source_digest=environ.get("SOURCE_DIGEST") or None,
        libraries={name: found[_plain(name)] for name in wanted},
    )


def _plain(name: str) -> str:
    """A package's name in the one form of all its spellings (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_bytes(readable(collect(target.parent / "build", os.environ).model_dump(mode="json")))
