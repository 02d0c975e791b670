"""The last step of each build, as the user of the container: what the image is for can be imported, and the build info
says what is installed. Mounted for that step only; `python /tmp/smoke.py KIND`.
"""

import getpass
import importlib
import importlib.util
import os
import pkgutil
import shutil
import sys
from importlib import metadata

from sftjobs import build_info

PACKAGES = {
    "controller": ("sftjobs",),
    "data": ("sftjobs.agent", "jobs.data", "jobs.lm"),
    "train": ("sftjobs.agent", "jobs.train", "jobs.lm", "jobs.answers"),
    "eval": ("sftjobs.agent", "jobs.eval", "jobs.lm", "jobs.answers"),
}
TOOLS = ("gcc", "g++", "ssh", "sshd")


def load_compiled_parts(variant: str) -> None:
    """DeepSpeed finds what was compiled with the image; it would take a compiler for what it does not find."""
    deepspeed = importlib.import_module("deepspeed.ops.op_builder")
    if variant == "cpu":
        for name in ("CPUAdamBuilder", "FusedAdamBuilder", "ShareMemCommBuilder"):
            assert "/site-packages/deepspeed/ops/" in getattr(deepspeed, name)().load().__file__


def main(kind: str) -> None:
    """Raises AssertionError or ImportError, which ends the build."""
    assert os.getuid() == 10001 and getpass.getuser(), "not the user of the container"
    info = build_info.read()
    assert info is not None, "no build info"
    if info.variant == "cpu":
        assert not any(map(shutil.which, TOOLS)), f"one of {TOOLS} is in the image"
    elif kind != "controller":
        assert shutil.which("gcc"), "Triton needs a C compiler"
    for name in PACKAGES[kind]:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    if kind == "controller":
        assert importlib.util.find_spec("torch") is None, "torch is in the image of the controller"
    else:
        assert info.libraries == {name: metadata.version(name) for name in info.libraries}
    if kind == "train":
        importlib.import_module("bitsandbytes")  # method qlora
        load_compiled_parts(info.variant)
    print(f"{kind}: {info.model_dump_json()}")


main(sys.argv[1])
