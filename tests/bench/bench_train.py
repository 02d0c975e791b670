"""One epoch of training on ragged examples against TRL and `transformers.Trainer`: CPU seconds on one thread.

make bench-train                                                 the table of docs/performance.md
.venv/bin/python -m tests.bench.bench_train --peer .tools/peers/trl/bin/python [--model small|smollm2]
    [--method full|lora] [--precision float32|bfloat16] [--rows 64] [--rounds 3] [--check-steps 3] [--preload LIBRARY]

Identical rows and token ids for every side, each with the batching that is best for it: ours groups by length over the
epoch, `Trainer` and TRL's padded form group by length as the library does it, TRL's packed form fills rows of 1,024
tokens. Before a speed is printed, each peer and ours train on the same forced batches and the losses of all steps are
compared; if they differ, the exit status is 1. Sides alternate within a round; CPU seconds are user and system time of
the training alone, without imports, loading and preparation of the rows.

A result on a CPU says nothing about a GPU: TRL's fused loss skips positions without loss only where Triton is
installed, and packed rows are laid out for attention kernels that a CPU does not have.
"""

import argparse
import ctypes
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.bench.train_sides import ROOT, Job, Side
from tests.bench.train_sides_rows import SMALL_VOCABULARY, ragged_rows, small_folder, smollm2_folder, write_rows

CACHE = ROOT / ".models" / "bench"
BATCH = 8
PEERS = ("trainer", "trl-packed", "trl-padded")
TOLERANCE = {False: 1e-5, True: 2e-3}
"""Greatest relative difference of a step's loss; bfloat16 has 8 bits, and batches are laid out differently."""


@dataclass(frozen=True)
class Setting:
    """What is trained, and how often."""

    job: Job
    peer: Path
    preload: str
    rounds: int


def instruction_set() -> str:
    """What this machine's matrix products run on."""
    amx = " AMX" if torch.cpu._is_amx_tile_supported() else ""
    bf16 = " AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else ""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}{bf16}{amx}"


def sides_of(setting: Setting, peers: Sequence[str]) -> list[Side]:
    """Ours first; it makes the adapter that all start from in checks."""
    extra = {"LD_PRELOAD": setting.preload} if setting.preload else {}
    ours = Side("sftjobs", Path(sys.executable), "tests.bench.train_sides_ours", setting.job, "grouped", extra)
    if setting.preload:
        ctypes.CDLL(setting.preload)  # raises OSError: the loader itself would only warn and go on without it
    if setting.job.adapter is not None:
        ours.ask({"do": "adapter", "path": setting.job.adapter})
    return [ours, *(Side(one, setting.peer, "tests.bench.train_sides_peer", setting.job, one, extra) for one in peers)]


def check(sides: list[Side], batches: list[list[int]], tolerance: float) -> bool:
    """Whether every peer has our losses on the same batches. Of packed rows, the batches are the peer's own."""
    good = True
    for side in sides[1:]:
        forced = side.ask({"do": "members"})[: len(batches)] if side.name == "trl-packed" else batches
        request = {"do": "check", "batches": [] if side.name == "trl-packed" else forced, "steps": len(forced)}
        theirs = side.ask(request)["losses"]
        ours = sides[0].ask({"do": "check", "batches": forced})["losses"]
        worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))
        good &= worst <= tolerance
        print(
            f"  losses of {len(forced)} forced steps against {side.name}: {worst:.1e} apart"
            f"{'' if worst <= tolerance else f', more than {tolerance:.0e}: NO SPEED IS REPORTED'}",
            flush=True,
        )
    return good


def race(sides: list[Side], rounds: int) -> dict[str, float]:
    """Median CPU seconds of one epoch by side; the sides alternate."""
    found: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            found[side.name].append(side.ask({"do": "epoch", "seed": number}))
    for side in sides:
        print(f"  {side.name}: " + ", ".join(f"{name} {version}" for name, version in side.versions.items()))
    medians = {name: statistics.median(one["cpu"] for one in replies) for name, replies in found.items()}
    for name, replies in found.items():
        shown = " ".join(f"{one['cpu']:.1f}" for one in replies)
        wall = statistics.median(one["wall"] for one in replies)
        ratio = medians[name] / medians["sftjobs"]
        print(
            f"  {name:12} {medians[name]:7.1f} s CPU ({shown}), {wall:.1f} s wall, {replies[0]['steps']} steps, "
            f"peak {max(one['peak_mib'] for one in replies):,.0f} MiB" + (f"  {ratio:.2f}x" if ratio != 1 else ""),
            flush=True,
        )
    return medians


def main() -> None:
    """Print the figures of one setting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--model", choices=["small", "smollm2"], default="small")
    parser.add_argument("--method", choices=["full", "lora"], default="full")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--preload", default="", help="allocator of all sides")
    parser.add_argument("--check-steps", type=int, default=3, help="forced steps whose losses are compared")
    given = parser.parse_args()
    folder = (small_folder if given.model == "small" else smollm2_folder)(CACHE)
    print(
        f"{given.model}, {given.method}, {given.precision}, batch {BATCH}; one thread on {instruction_set()}"
        f"{', ' + given.preload if given.preload else ''}"
    )
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.jsonl"
        print("  ", end="")
        write_rows(ragged_rows(folder, given.rows), rows, SMALL_VOCABULARY if given.model == "small" else None)
        adapter = str(Path(name) / "adapter.safetensors") if given.method == "lora" else None
        job = Job(str(folder), str(rows), given.method, given.precision == "bfloat16", BATCH, adapter)
        setting = Setting(job, given.peer, given.preload, given.rounds)
        sides = sides_of(setting, given.peers)
        starts = range(0, given.check_steps * BATCH, BATCH)
        batches = [[index % given.rows for index in range(start, start + BATCH)] for start in starts]
        if not check(sides, batches, TOLERANCE[job.bfloat16]):
            sys.exit(1)
        race(sides, setting.rounds)


if __name__ == "__main__":
    main()
