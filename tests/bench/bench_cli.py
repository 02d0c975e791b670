"""Start-up of the CLI, the spec part of `check` on a run of 1,000 examples, and a plan for 512 nodes of 8 GPUs.

    python tests/bench/bench_cli.py

Best of 5, wall and user+sys seconds. Goals: `--help` < 0.3 s; loading a spec < 1 s; a plan < 2 s.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = """
name: bench
model: model
prompt:
  input: "{{ text }}"
  labels: {a: first, b: second}
  output: {format: label}
data:
  tasks: {t: {path: train.jsonl}}
  held_out: {fraction: 0.2}
"""
MANY = RUN + "resources: {train: {nodes: 512, gpus_per_node: 8}}\n"
LOAD = "from pathlib import Path; from sftjobs.spec.load import load; load(Path('run.yaml'))"


def best_of_5(command: list[str], folder: Path) -> tuple[float, float]:
    """(wall, user+sys) seconds of the quickest of five runs."""
    found = []
    for _ in range(5):
        before, began = os.times(), time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - began, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        found.append((wall, cpu))
    return min(found)


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model").mkdir()
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
            (folder / "model" / file).write_text("{}")
        lines = [json.dumps({"text": f"message {i}", "label": "ab"[i % 2]}) for i in range(1000)]
        (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "run.yaml").write_text(RUN)
        (folder / "many.yaml").write_text(MANY)
        sftjobs = str(Path(sys.executable).with_name("sftjobs"))
        for what, command in (
            ("sftjobs --help", [sftjobs, "--help"]),
            ("load run.yaml, 1,000 examples", [sys.executable, "-c", LOAD]),
            ("plan, 512 nodes x 8 GPUs", [sftjobs, "plan", "many.yaml"]),
            ("its objects (-o yaml)", [sftjobs, "plan", "many.yaml", "-o", "yaml"]),
        ):
            wall, cpu = best_of_5(command, folder)
            print(f"{what:32} {wall:.2f} s wall, {cpu:.2f} s user+sys")


if __name__ == "__main__":
    main()
