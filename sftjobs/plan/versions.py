"""Which code will run: versions of the libraries that change results, and whether the source tree is a release."""

import subprocess
from importlib import metadata
from pathlib import Path

from sftjobs import build_info
from sftjobs.canonical import digest, sha256
from sftjobs.errors import Problem, SpecError
from sftjobs.plan.configs import LIBRARIES

PROGRAMS = (
    "jobs",
    "sftjobs/program.py",
    "sftjobs/canonical.py",
    "sftjobs/plan/arithmetic.py",
    "sftjobs/plan/sampler.py",
    "sftjobs/spec/eval.py",
    "sftjobs/spec/train.py",
    "sftjobs/spec/formats.py",
    "sftjobs/spec/prompt.py",
    "sftjobs/spec/template.py",
)
"""What decides results, relative to the root of a checkout."""


def installed() -> dict[str, str]:
    """Versions of the libraries where the stages will run: the stage images of this release, or this environment.

    Raises SpecError if one is missing: the stages could not run.
    """
    image = build_info.read()
    if image is not None:
        return dict(image.libraries)
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in sorted({library for libraries in LIBRARIES.values() for library in libraries}):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        way_out = "install what stage programs need: pip install 'sftjobs[jobs]'"
        raise SpecError([Problem("this environment", None, "", f"missing {', '.join(missing)}; {way_out}")])
    return found


def source_digest() -> str | None:
    """Digest of the stage programs if they differ from the last commit of a checkout, else None.

    Only what runs inside a stage counts: work on the CLI or the controller must not train anything again. Where git
    cannot tell (not installed, a checkout of another user), the programs count as changed: rather once too often than
    a result of other code. In an image it is what held for the tree that the image was built from.
    """
    image = build_info.read()
    if image is not None:
        return image.source_digest
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    if _is_clean(root):
        return None
    places = [root / place for place in PROGRAMS]
    files = sorted(p for place in places for p in ([place] if place.is_file() else place.rglob("*.py")))
    return digest([[str(p.relative_to(root)), sha256(p.read_bytes())] for p in files])


def _is_clean(root: Path) -> bool:
    """True if git says that the programs are those of the last commit."""
    command = ["git", "-C", str(root), "status", "--porcelain", "--", *PROGRAMS]
    try:
        status = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return status.returncode == 0 and not status.stdout.strip()
