"""Sides of the benches of training: one worker process per library, in its own environment, one thread each.

    side = Side("ours", python, "tests.bench.train_sides_ours", job)
    side.ask({"do": "epoch", "seed": 0})["cpu"]       CPU seconds (user and system) of one training
    side.ask({"do": "check", "batches": [[3, 1], ...]})["losses"]     loss of each step with forced batches

Workers stay alive between requests, so that rounds of all sides alternate while imports are paid once. This module is
imported in the environments of the peers as well: it needs torch, transformers and peft, nothing of the project.
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
    lora: bool
    bfloat16: bool
    """Autocast to bfloat16 over float32 weights."""
    batch: int
    """Examples of one optimizer step, which is one forward and backward pass."""
    adapter: str | None = None
    """Safetensors with the adapter to start from in checks."""


class Side:
    """A worker process. Use it as a context: it is stopped at the end."""

    def __init__(
        self, name: str, python: Path, module: str, job: Job, how: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, "-m", module, json.dumps(asdict(job)), how],
            cwd=ROOT,
            env=os.environ | ONE_THREAD | (extra or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions: dict[str, str] = self._reply()["versions"]

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send a request and wait for its reply. Raises RuntimeError if the worker ends instead."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the worker ended with status {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve(make: Callable[[Job, str], Callable[[dict[str, Any]], Any]], libraries: tuple[str, ...]) -> None:
    """Answer requests from standard input until it ends; what libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from importlib.metadata import version

    import torch

    torch.set_num_threads(1)
    answer = make(Job(**json.loads(sys.argv[1])), sys.argv[2])
    first: Any = {"versions": {name: version(name) for name in libraries}}
    print(json.dumps(first), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=replies, flush=True)


def timed(train: Callable[[], Any]) -> dict[str, float]:
    """CPU and wall seconds of `train`, and the peak memory of the process so far in MiB."""
    import resource

    wall, cpu = time.monotonic(), time.process_time()
    train()
    return {
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
