"""Sides of the benches of training: each library in its own environment, on one thread.

    side = Side("ours", python, "tests.bench.train_sides_ours", job)
    side.ask({"do": "epoch", "seed": 0})["cpu"]       CPU seconds (user and system) of one training
    side.ask({"do": "check", "batches": [[3, 1], ...]})["losses"]     loss of each step with forced batches

This module is imported in the environments of the peers as well: it needs torch, transformers and peft, nothing of the
project.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "RAYON_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}
LEARNING_RATE = 1e-4
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}


@dataclass(frozen=True)
class Job:
    """What all sides have in common."""

    folder: str
    """Model folder, float32 weights, with its tokenizer."""
    rows: str
    """JSON lines [token ids, labels]."""
    method: str
    """full, lora or qlora; adapters are those of `LORA`."""
    bfloat16: bool
    """Autocast to bfloat16 over float32 weights."""
    batch: int
    """Examples of one optimizer step, which is one forward and backward pass."""
    adapter: str | None = None
    """Safetensors with the adapter to start from in checks."""


class Side:
    """One library in its environment. Every request gets a process of its own, so that no two hold memory at once."""

    def __init__(
        self, name: str, python: Path, module: str, job: Job, how: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.versions: dict[str, str] = {}
        """Of the libraries; known after the first request."""
        self._command = [str(python), "-m", module, json.dumps(asdict(job)), how]
        self._environment = os.environ | ONE_THREAD | (extra or {})

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The reply to a request. Raises RuntimeError with the last lines of the process if it fails."""
        done = subprocess.run(
            [*self._command, json.dumps(request)],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: status {done.returncode}: {done.stderr[-2000:]}")
        reply = json.loads(done.stdout)
        self.versions = reply["versions"]
        return reply["reply"]


def serve(make: Callable[[Job, str], Callable[[dict[str, Any]], Any]], libraries: tuple[str, ...]) -> None:
    """Answer the request of the command line; what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from importlib.metadata import version

    import torch

    torch.set_num_threads(1)
    job, how, request = sys.argv[1:]
    reply = make(Job(**json.loads(job)), how)(json.loads(request))
    print(json.dumps({"versions": {name: version(name) for name in libraries}, "reply": reply}), file=replies)


def timed(train: Callable[[], Any]) -> dict[str, float]:
    """Seconds of `train` (CPU, system's part of it, wall) and the peak memory of the process so far in MiB."""
    import resource

    wall, cpu, system = time.monotonic(), time.process_time(), os.times().system
    train()
    return {
        "system": os.times().system - system,
        "cpu": time.process_time() - cpu,
        "wall": time.monotonic() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def read_rows(job: Job) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids and labels of each example."""
    with Path(job.rows).open(encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]
    return [ids for ids, _ in pairs], [labels for _, labels in pairs]


def start_adapter(model: Any, path: str | None) -> None:
    """Put the adapter of the file into the model: every side begins with the same weights."""
    if path is not None:
        from safetensors.torch import load_file

        _, unexpected = model.load_state_dict(load_file(path), strict=False)
        assert not unexpected, unexpected


def keep_gradients(model: Any, path: str) -> None:
    """Write the gradients of all trained weights, in float32."""
    from safetensors.torch import save_file

    save_file({name: p.grad.float().contiguous() for name, p in model.named_parameters() if p.grad is not None}, path)
