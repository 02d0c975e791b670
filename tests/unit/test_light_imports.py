"""The controller's side never loads an ML library, and `sftjobs --help` loads hardly anything."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "numpy", "pyarrow", "scipy", "peft", "accelerate", "datasets")
ALL = """
import importlib, pkgutil, sys, sftjobs
for module in pkgutil.walk_packages(sftjobs.__path__, "sftjobs."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print([name for name in {heavy} if name in sys.modules])
"""
HELP = """
import sys
from click.testing import CliRunner
from sftjobs.cli.main import cli
assert CliRunner().invoke(cli, ["--help"]).exit_code == 0
print([name for name in ("pydantic", "rich", "boto3", "yaml", "psutil", "jinja2") if name in sys.modules])
"""


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_ml_library_anywhere_in_sftjobs() -> None:
    assert printed(ALL.format(heavy=HEAVY)) == "[]"


def test_help_is_light() -> None:
    assert printed(HELP) == "[]"
