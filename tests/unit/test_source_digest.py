"""Which code counts as the code of a stage, and what holds where git cannot tell."""

import ast
from pathlib import Path

import pytest

from sftjobs.plan import versions

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_EFFECT = {
    "sftjobs.advice.gpus",  # which GPU has which layer
    "sftjobs.advice.memory",  # an estimate in the log
    "sftjobs.advice.need",
    "sftjobs.advice.shape",
    "sftjobs.errors",
    "sftjobs.gpu_faults",  # how a failure is classed
    "sftjobs.model",
    "sftjobs.names",
    "sftjobs.phases",  # where a rank is, for people
    "sftjobs.lint.delimiters",  # `sftjobs check`
    "sftjobs.lint.facts",
    "sftjobs.plan.configs",  # its values are in the key
    "sftjobs.plan.memory_setup",  # an estimate in the log
    "sftjobs.plan.mixture",  # a table for people
    "sftjobs.plan.positions",  # refuses, and changes nothing
    "sftjobs.spec.zero_rules",  # what a message suggests
    "sftjobs.spec.clean",  # types of what is in the key
    "sftjobs.spec.data",
    "sftjobs.spec.input_places",  # names of inputs
    "sftjobs.spec.words",  # messages
}


def test_what_programs_import_is_part_of_the_source_digest() -> None:
    imported: set[str] = set()
    for file in (ROOT / "jobs").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("sftjobs."):
                imported.add(node.module)
    covered = {place.removesuffix(".py").replace("/", ".") for place in versions.PROGRAMS}
    assert imported - covered <= WITHOUT_EFFECT
    assert all((ROOT / place).exists() for place in versions.PROGRAMS)


def test_where_git_cannot_tell_the_programs_count_as_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path))  # git then fails, as for a checkout of another user
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    assert versions.source_digest() is not None
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert versions.source_digest() is not None
