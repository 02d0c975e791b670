"""Push what pods run and print the `images:` block of cluster.yaml: `make images-push REGISTRY=registry.example.org`.

Images are named by tag and digest: whoever pushes another image under the tag later changes no run.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hack.build_images import ROLES, has_docker  # noqa: E402  # the script runs from anywhere
from sftjobs import __version__  # noqa: E402


def docker(name: str) -> str:
    """Push; returns the digest."""
    subprocess.run(["docker", "push", "--quiet", name], check=True, stdout=sys.stderr)
    form = "{{range .RepoDigests}}{{println .}}{{end}}"
    shown = subprocess.run(["docker", "image", "inspect", "--format", form, name], check=True, capture_output=True)
    repository = name.rpartition(":")[0]
    return next(line for line in shown.stdout.decode().split() if line.startswith(f"{repository}@")).partition("@")[2]


def buildah(name: str) -> str:
    """Push; returns the digest."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["buildah", "push", "--quiet", "--digestfile", file.name, name], check=True, stdout=sys.stderr)
        return Path(file.name).read_text().strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("registry", help="and the path in it, without a name and tag")
    parser.add_argument("--tag", default=__version__)
    options = parser.parse_args()
    if has_docker():
        tool, push = "docker", docker
    elif shutil.which("buildah"):
        tool, push = "buildah", buildah
    else:
        sys.exit("neither docker nor buildah is here; push with what you have, and write `images:` of cluster.yaml")
    lines = ["images:"]
    for role in ROLES:
        name = f"{options.registry.rstrip('/')}/{role}:{options.tag}"
        subprocess.run([tool, "tag", f"sftjobs/{role}:{options.tag}", name], check=True)
        lines.append(f"  {role}: {name}@{push(name)}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
