"""What a plan asks of this machine, which `--backend process` cannot give."""

import ctypes
import os
import shutil
import sys
from pathlib import Path

from sftjobs.errors import DataError
from sftjobs.plan.committed import committed
from sftjobs.plan.types import RunPlan, StageNode
from sftjobs.store.base import Store

MANY = 2
"""So many times the cores may be meant: programs also wait, and a laptop tries out what a cluster will run."""
_DEVICES = ("nvidia*", "kfd", "dxg", "nvmap", "nvhost*")
"""In /dev: NVIDIA, AMD, WSL, Jetson."""


def refuse_missing_gpus(plan: RunPlan, store: Store) -> None:
    """Raises DataError if a stage that is still to run wants GPUs where there are certainly none."""
    wanting = [node for node in plan.stages if node.resources.gpus_per_node]
    if not wanting or may_have_gpu():
        return
    missing = _to_run(plan, store, wanting)
    if missing:
        fields = sorted({f"resources.{node.kind}.gpus_per_node" for node in missing})
        raise DataError(
            f"stage {', '.join(node.name for node in missing)} is planned for GPUs, and this machine has no driver of "
            f"one: set {' and '.join(fields)} in run.yaml to 0 for the CPU, or run it where there are GPUs"
        )


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """False only where PyTorch can find none: neither device nor tool nor library of a driver."""
    if sys.platform != "linux" or any(next(devices.glob(name), None) for name in _DEVICES):
        return True
    if shutil.which("nvidia-smi") or shutil.which("rocm-smi"):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def note_on_threads(plan: RunPlan, store: Store, cores: int | None = None) -> str | None:
    """What to know before stages start far more threads than this machine has cores; None if none does."""
    cores = cores or _cores()
    crowded = [node for node in plan.stages if _threads(node) > MANY * cores]
    crowded = _to_run(plan, store, crowded) if crowded else []
    if not crowded:
        return None
    most = max(crowded, key=_threads)
    ranks, threads = most.resources.world_size, most.resources.threads_per_process
    started = f"{ranks:,} rank{'s' if ranks != 1 else ''} with {threads} thread{'s' if threads != 1 else ''} each"
    return (
        f"note: stage {most.name} starts {started}, and this machine has {cores} core{'s' if cores != 1 else ''}: they "
        f"take turns, and every rank needs memory of its own; less in resources.{most.kind} is faster here"
    )


def _cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads(node: StageNode) -> int:
    return node.resources.world_size * node.resources.threads_per_process


def _to_run(plan: RunPlan, store: Store, nodes: list[StageNode]) -> list[StageNode]:
    """Without those that are committed: they need nothing any more."""
    done = committed(plan, store)
    return [node for node in nodes if node.name not in done]
