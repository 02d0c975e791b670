"""Runs in each image (tests/cluster/test_images.py mounts it) and prints what it finds there, as JSON."""

import getpass
import importlib.util
import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from sftjobs import build_info
from sftjobs.plan import versions

CACHES = ("HOME", "XDG_CACHE_HOME", "HF_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR")


def can_write(folder: str) -> bool:
    """True if a file can be made there, the folder included."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def own_bytes() -> int:
    """What the image has on top of its base."""
    files = (path for folder in ("/opt/venv", "/opt/sftjobs") for path in Path(folder).rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink())


info = build_info.read()
assert info is not None
planned = versions.installed()
found = {
    "uid": os.getuid(),
    "user": getpass.getuser(),
    "not_writable": [name for name in CACHES if name in os.environ and not can_write(os.environ[name])],
    "root_writable": [folder for folder in ("/", "/opt/sftjobs", "/opt/venv") if can_write(folder)],
    "tools": [tool for tool in ("cc", "gcc", "g++", "ssh", "sshd") if shutil.which(tool)],
    "torch": importlib.util.find_spec("torch") is not None,
    "malloc": "libtcmalloc_minimal" in Path("/proc/self/maps").read_text(),
    "environ": {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM")},
    "build_info": info.model_dump(),
    "planned": planned,
    "source_digest": versions.source_digest(),
    "installed": {name: version(name) for name in planned},
    "own_mb": round(own_bytes() / 1e6, 1),
}
print(json.dumps(found))
