"""Build the six images: `make images`.

With the cluster lab beside the project its `build-image` builds and makes the images known to the cluster; else docker
or buildah does. `--base` is any Debian with Python; `--variant cuda` builds for GPUs (docs/images.md).
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sftjobs import __version__  # noqa: E402  # the script also runs where sftjobs is not installed
from sftjobs.plan.versions import source_digest  # noqa: E402

LAB = Path(os.environ.get("CLUSTER_LAB") or ROOT.parent / "shared" / "cluster")
LAB_BASE = "lab.local/base:bookworm-py311"
PARENTS: dict[str, tuple[str, ...]] = {
    "base": (),
    "torch": ("base",),
    "controller": ("base", "torch"),
    "data": ("torch",),
    "train": ("torch",),
    "eval": ("torch",),
}
"""Images in the order in which they are built, with those whose names are build arguments."""
VARIANTS: dict[str, dict[str, str]] = {"cpu": {}, "cuda": {"VARIANT": "cuda", "MALLOC": ""}}
"""Build arguments of each."""
ROLES = ("controller", "data", "train", "eval")
"""Images that pods run."""


@dataclass(frozen=True)
class Builder:
    """A program that builds from a Dockerfile."""

    command: list[str]
    arguments: dict[str, str]
    """Build arguments of every image."""


def find_builder(name: str) -> Builder:
    """`auto`: the lab, else docker, else buildah. Exits if there is none."""
    if name in ("auto", "lab") and (LAB / "build-image").is_file():
        # its build steps see the package settings of the machine, which know where torch for CPU is
        return Builder([str(LAB / "build-image")], {"BASE": LAB_BASE, "TORCH_INDEX": ""})
    if name in ("auto", "docker") and has_docker():
        return Builder(["docker", "build"], {})
    if name in ("auto", "buildah") and shutil.which("buildah"):
        return Builder(["buildah", "build", "--layers", "--format", "oci"], {})
    sys.exit(f"--builder {name}: not found; install docker or buildah, or set CLUSTER_LAB to the folder of the lab")


def has_docker() -> bool:
    """True if there is a docker that answers: its client alone builds nothing."""
    return bool(shutil.which("docker")) and not subprocess.run(["docker", "info"], capture_output=True).returncode


def revision() -> str:
    """The commit of the tree, with `-dirty` if it has changes."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def build(builder: Builder, images: list[str], tag: str, given: dict[str, str]) -> None:
    """Build `images` in order; each gets the arguments that its Dockerfile declares."""
    arguments = {**builder.arguments, **given, "REVISION": revision(), "SOURCE_DIGEST": source_digest() or ""}
    for image in images:
        dockerfile = ROOT / "images" / f"{image}.Dockerfile"
        names = {parent.upper(): f"sftjobs/{parent}:{tag}" for parent in PARENTS[image]}
        declared = {line.split()[1].split("=")[0] for line in dockerfile.read_text().splitlines() if line[:4] == "ARG "}
        pairs = [f"{name}={value}" for name, value in {**arguments, **names}.items() if name in declared]
        options = [part for pair in pairs for part in ("--build-arg", pair)]
        began = time.monotonic()
        command = [*builder.command, "-t", f"sftjobs/{image}:{tag}", "-f", str(dockerfile), *options, str(ROOT)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            sys.exit(f"{done.stdout}\n{' '.join(command)}: exit code {done.returncode}")
        print(f"sftjobs/{image}:{tag}  {time.monotonic() - began:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", help=f"some of {', '.join(PARENTS)}; default: all")
    parser.add_argument("--builder", choices=("auto", "lab", "docker", "buildah"), default="auto")
    parser.add_argument("--tag", help="default: the version, and `-cuda` for that variant")
    parser.add_argument("--base", help="image that everything is built on")
    parser.add_argument("--variant", choices=VARIANTS, default="cpu")
    parser.add_argument("--index", help="mirror of PyPI")
    parser.add_argument("--torch-index", help="package index with torch's builds, beside PyPI")
    options = parser.parse_args()
    if unknown := set(options.images) - set(PARENTS):
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    tag = options.tag or f"{__version__}-{options.variant}".removesuffix("-cpu")
    given = {"BASE": options.base, "PIP_INDEX_URL": options.index, "TORCH_INDEX": options.torch_index}
    images = [image for image in PARENTS if image in options.images or not options.images]
    arguments = {**VARIANTS[options.variant], **{name: value for name, value in given.items() if value is not None}}
    build(find_builder(options.builder), images, tag, arguments)


if __name__ == "__main__":
    main()
