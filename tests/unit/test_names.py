"""Names that two processes agree on are literals in one file only; object names fit."""

import ast
import re
from pathlib import Path

import pytest

from sftjobs import names

ROOT = Path(__file__).resolve().parents[2]
SHARED = re.compile(r"^(SFTJOBS_[A-Z_]+|JOB_COMPLETION_INDEX|sftjobs\.dev/.+)$")
USER_VARIABLES = {"SFTJOBS_STORE_URI", "SFTJOBS_CHART"}
"""Read by click as defaults of options: no other process sets them."""


def literals(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_shared_names_are_written_once() -> None:
    found = {
        (str(path.relative_to(ROOT)), text)
        for folder in ("sftjobs", "jobs")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "names.py"
        for text in literals(path)
        if SHARED.match(text) and text not in USER_VARIABLES
    }
    assert not found


@pytest.mark.parametrize("name", ["a", "intent-v3", "a" * 30, "x1"])
def test_run_names(name: str) -> None:
    assert names.is_run_name(name)


@pytest.mark.parametrize("name", ["", "A", "1a", "a-", "-a", "a_b", "a" * 31, "a.b", "意图"])
def test_not_run_names(name: str) -> None:
    assert not names.is_run_name(name)


def test_job_names_fit() -> None:
    assert names.job_name("a" * 30, "eval-tuned", 99) == "a" * 30 + "-eval-tuned-a99"
    with pytest.raises(ValueError, match="at most 45"):
        names.job_name("a" * 30, "eval-something-long", 0)


def test_the_hundredth_attempt_has_a_name() -> None:
    """Preemptions are free of charge, so nothing limits how many there are: the controller must not end of them."""
    for attempt in (100, 99_999):
        name = names.job_name("a" * 30, "eval-tuned", attempt)
        assert name.endswith(f"-a{attempt}")
        assert len(f"{name}-{10_000}") <= 63, "host name of a pod"
