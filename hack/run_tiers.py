"""Run test tiers and print the seconds of each, last of all what failed; the first failure does not hide the others.

python hack/run_tiers.py lint unit stage chain dist agent
python hack/run_tiers.py --slow stage dist   with what is marked slow: more cases of what the others show
python hack/run_tiers.py --lanes 2 ...      two at a time, every line with its tier in front: tests often wait
"""

import argparse
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
    # What a change must pass, in twenty minutes: happy path, backend, chart, images, two nodes and their faults.
    "cluster-ci": [
        str(CLUSTER / f"test_{name}.py")
        for name in ("happy_path", "fault_pods", "two_nodes", "conformance", "chart_install", "images", "preflight")
    ],
}
"""Tiers that are not simply a folder of their name."""
LAST_LINES = 80
"""Of a tier that failed, said again at the end: what a log keeps, and where a person looks."""


def commands(tier: str, slow: bool) -> list[list[str]]:
    """What a tier runs."""
    if tier == "lint":
        return LINT
    tests = SELECTIONS.get(tier, [f"tests/{tier}"])
    return [[sys.executable, "-m", "pytest", "-q", "--durations=5", *([] if slow else ["-m", "not slow"]), *tests]]


@dataclass(frozen=True)
class Ran:
    """How a tier ended."""

    tier: str
    seconds: float
    passed: bool
    said: list[str]
    """The last lines that it printed, where tiers run beside each other."""


def run(tier: str, slow: bool, beside_others: bool) -> Ran:
    """Run a tier to its end."""
    print(f"\n=== {tier}", flush=True)
    began = time.monotonic()
    said: deque[str] = deque(maxlen=LAST_LINES)
    codes = [_run(command, f"{tier:8}| " if beside_others else None, said) for command in commands(tier, slow)]
    return Ran(tier, time.monotonic() - began, not any(codes), list(said))


def _run(command: list[str], prefix: str | None, said: deque[str]) -> int:
    """Exit code of a command; with `prefix` before each line of what it prints, which is then kept in `said`."""
    if prefix is None:
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.rstrip())
            print(f"{prefix}{line.rstrip()}", flush=True)
    return process.returncode


def main(tiers: list[str], slow: bool, lanes: int) -> int:
    """Exit code 0 if every tier passed."""
    began = time.monotonic()
    with ThreadPoolExecutor(lanes) as pool:
        found = list(pool.map(lambda tier: run(tier, slow, lanes > 1), tiers))
    print("\nseconds per tier")
    for one in found:
        print(f"  {one.tier:8} {one.seconds:7.1f}  {'ok' if one.passed else 'FAILED'}")
    for one in found:
        if not one.passed:
            print("\n".join([f"\n=== {one.tier} failed", *one.said]))
    failed = sum(not one.passed for one in found)
    print(f"tiers: {len(found) - failed} passed, {failed} failed, {time.monotonic() - began:.0f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run test tiers and print the seconds of each.")
    parser.add_argument("--lanes", type=int, default=1, help="tiers at a time")
    parser.add_argument("--slow", action="store_true", help="slow tests, too")
    parser.add_argument("tiers", nargs="+")
    arguments = parser.parse_args()
    sys.exit(main(arguments.tiers, arguments.slow, arguments.lanes))
