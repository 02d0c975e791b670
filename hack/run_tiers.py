"""Run test tiers one after another and print the seconds of each; the first failure does not hide the others.

python hack/run_tiers.py lint unit chart store release agent chain cli stage dist browser
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

LINT: list[list[str]] = [
    [str(BIN / "ruff"), "check", "."],
    [str(BIN / "ruff"), "format", "--check", "."],
    [str(BIN / "mypy")],
    [str(BIN / "lint-imports")],
    [str(BIN / "hadolint"), *sorted(str(path) for path in (ROOT / "images").glob("*.Dockerfile"))],
    [str(BIN / "shellcheck"), ".ci/run", *(f"hack/{name}" for name in ("cluster-up", "demo_check", "kind-up", "lock"))],
    [sys.executable, "-m", "sftjobs.spec.schema", "--check"],
    [sys.executable, "-m", "sftjobs.spec.docs", "--check"],
    [sys.executable, "-m", "sftjobs.cli.reference", "--check"],
]
CLUSTER = ROOT / "tests" / "cluster"
FAULTS = sorted(str(path) for path in CLUSTER.glob("test_fault_*.py"))
SELECTIONS: dict[str, list[str]] = {
    "cluster": [str(CLUSTER), *(f"--ignore={path}" for path in FAULTS)],
    "fault": FAULTS,
    # What a change must pass, in a quarter of an hour: happy path, backend, chart, images, two nodes and eleven faults.
    "cluster-ci": [
        str(CLUSTER / f"test_{name}.py")
        for name in ("happy_path", "fault_pods", "two_nodes", "conformance", "chart_install", "images", "preflight")
    ],
}
"""Tiers that are not simply a folder of their name."""
NO_TESTS = 5  # pytest's exit code; a tier without tests is a mistake here


def commands(tier: str) -> list[list[str]]:
    """What a tier runs."""
    if tier == "lint":
        return LINT
    tests = SELECTIONS.get(tier, [f"tests/{tier}"])
    return [[sys.executable, "-m", "pytest", "-q", "--durations=5", *tests]]


def main(tiers: list[str]) -> int:
    """Exit code 0 if every tier passed."""
    rows: list[tuple[str, float, str]] = []
    for tier in tiers:
        print(f"\n=== {tier}", flush=True)
        began = time.monotonic()
        codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands(tier)]
        rows.append((tier, time.monotonic() - began, "ok" if not any(codes) else "FAILED"))
    print("\nseconds per tier")
    for tier, seconds, verdict in rows:
        print(f"  {tier:8} {seconds:7.1f}  {verdict}")
    failed = sum(verdict != "ok" for _, _, verdict in rows)
    print(f"tiers: {len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
