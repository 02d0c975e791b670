"""Every method of tuning on real data: score, interval, trained parameters, CPU and wall seconds, memory, size.

make bench-methods                                               the table of docs/methods.md
.venv/bin/python -m tests.bench.bench_methods FOLDER [--only NAME ...]

Each row is a run of its own through the real `sftjobs run`: examples/intent with other settings of `train`. All use one
store in FOLDER, so that model, data and the evaluation of the base model are made once; what is there already is not
made again, and the table can be printed anew. Fifteen examples of each label, two epochs (50 steps of 8) unless the row
says otherwise, `precision: bfloat16`, one thread. The figures come from report.json and the manifests.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sftjobs import runs
from sftjobs.cli.context import find_store
from sftjobs.plan.committed import done_in
from sftjobs.plan.types import Manifest
from sftjobs.report.publish import read_report

ROOT = Path(__file__).parents[2]
INTENT = ROOT / "examples" / "intent"
EXAMPLES_PER_LABEL = 15
MIB = 2**20

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "lora-1e-3": {"method": "lora", "learning_rate": 1e-3},
    "rslora": {"method": "rslora"},
    "dora": {"method": "dora"},
    "lora-plus": {"method": "lora_plus"},
    "periodic-lora": {"method": "periodic_lora"},
    "periodic-lora-2": {"method": "periodic_lora", "learning_rate": 1e-3, "lora": {"cycles": 2}},
    "qlora": {"method": "qlora"},
    "full": {"method": "full"},
    "full-1e-4": {"method": "full", "learning_rate": 1e-4},
    "prefix-tuning": {"method": "prefix_tuning"},
    "prefix-tuning-3e-2": {"method": "prefix_tuning", "learning_rate": 3e-2},
    "prefix-tuning-mlp": {"method": "prefix_tuning", "prompt_learning": {"encoder": "mlp"}},
    "prompt-tuning": {"method": "prompt_tuning"},
    "prompt-tuning-3e-2": {"method": "prompt_tuning", "learning_rate": 3e-2},
    "p-tuning-mlp": {"method": "p_tuning"},
    "p-tuning-mlp-3e-3": {"method": "p_tuning", "learning_rate": 3e-3},
    "p-tuning-lstm": {"method": "p_tuning", "prompt_learning": {"encoder": "lstm"}},
}
"""Name of the run -> settings of `train`; what is not said is as in run.yaml's defaults, the rate is `auto`."""


@dataclass(frozen=True)
class Row:
    """A finished run."""

    name: str
    report: dict[str, Any]
    train: Manifest

    def cells(self) -> list[str]:
        """As the table has them."""
        score = self.report["comparison"]["models"]["tuned"]
        training, facts = self.report["train"], self.train.facts
        return [
            self.name,
            f"{training['learning_rate']:g}",
            f"{training['counts']['steps']}",
            f"{100 * score['value']:.1f}",
            f"{100 * score['low']:.1f} to {100 * score['high']:.1f}",
            f"{score['format']['failed']}",
            f"{training['counts']['trainable_parameters']:,}",
            f"{facts['cpu_s']:.0f}",
            f"{facts['seconds']['run']:.0f}",
            f"{facts['peak_rank_mib']:,.0f}",
            " + ".join(f"{part} {size:.3g}" for part, size in self.left().items()),
        ]

    def left(self) -> dict[str, float]:
        """MiB of weights by folder."""
        sizes: dict[str, float] = {}
        for entry in self.train.content:
            part, _, file = entry.path.partition("/")
            if file.endswith(".safetensors"):
                sizes[part] = sizes.get(part, 0) + entry.size / MIB
        return sizes


def run_file(folder: Path, name: str, train: dict[str, Any]) -> Path:
    """Write the run.yaml of a row: examples/intent with its own settings of `train`."""
    given = yaml.safe_load((INTENT / "run.yaml").read_text(encoding="utf-8"))
    given |= {
        "name": name,
        "store": str(folder / "store"),
        "model": str((INTENT / given["model"]).resolve()),
        "prompt": str(INTENT / given["prompt"]),
        "train": {"precision": "bfloat16", "checkpoint_every_s": 3600, **train},
        "eval": {"baselines": []},
        "resources": {stage: {"threads_per_process": 1} for stage in ("data", "train", "eval")},
    }
    for task in given["data"]["tasks"].values():
        task |= {"path": str(INTENT / task["path"]), "max_per_label": EXAMPLES_PER_LABEL}
    given["data"]["held_out"]["path"] = str(INTENT / given["data"]["held_out"]["path"])
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    return path


def run(path: Path) -> None:
    """`sftjobs run` of this tree. Raises CalledProcessError if it fails."""
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    subprocess.run(
        [sys.executable, "-m", "sftjobs", "run", str(path)],
        cwd=path.parent,
        env=os.environ | {"PYTHONPATH": search, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"},
        stdout=sys.stderr,
        check=True,
    )


def read(folder: Path, name: str) -> Row:
    """What the run left in the store."""
    store = find_store(str(folder / "store"))
    run_id = runs.find_run(store, name)
    report = json.loads(read_report(store, run_id).json)
    return Row(name, report, done_in(store, run_id)["train"].manifest)


def main() -> None:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=list(METHODS), metavar="NAME")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        run(run_file(folder, name, METHODS[name]))
        print("| " + " | ".join(read(folder, name).cells()) + " |", flush=True)


if __name__ == "__main__":
    main()
