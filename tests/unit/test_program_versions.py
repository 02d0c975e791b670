"""The golden test behind `PROGRAM_VERSIONS`: code of a kind of stage does not change unnoticed.

When this fails, decide: would the same inputs and config now give another result? Then raise the kind's number in
sftjobs/plan/configs.py. In both cases record the new state:

    python tests/unit/test_program_versions.py
"""

import ast
import json
from pathlib import Path

from sftjobs.canonical import digest
from sftjobs.plan.configs import PROGRAM_VERSIONS

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "program_versions.json"


def code_digest(kind: str) -> str:
    """Digest of what the modules of a kind do: comments, docstrings and layout do not count."""
    files = sorted([*(ROOT / "jobs" / kind).rglob("*.py"), *(ROOT / "jobs" / "lm").rglob("*.py")])
    shared = ("strict_json", "same") if kind == "data" else ("**/*",)
    files += sorted(path for name in shared for path in (ROOT / "jobs" / "answers").glob(f"{name}.py"))
    files += [ROOT / "sftjobs" / "plan" / f"{name}.py" for name in ("arithmetic", "sampler") if kind == "train"]
    return digest([[str(path.relative_to(ROOT)), normalised(path)] for path in files])


def normalised(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not is_text(s)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def state() -> dict[str, dict[str, object]]:
    return {kind: {"version": version, "code": code_digest(kind)} for kind, version in PROGRAM_VERSIONS.items()}


def test_changed_code_was_considered() -> None:
    recorded = json.loads(GOLDEN.read_text("utf-8"))
    changed = [kind for kind, now in state().items() if recorded.get(kind) != now]
    assert not changed, f"the code of {', '.join(changed)} stages has changed: see {Path(__file__).name}"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(state(), indent=2) + "\n", "utf-8")
    print(f"written: {GOLDEN.relative_to(ROOT)}")
