"""One epoch of training against the plain loop of peft's examples: CPU seconds on one thread.

make bench-loop                                                  the table of docs/performance.md
.venv/bin/python -m tests.bench.bench_peft_loop [--model small|smollm2] [--method full|lora|qlora]
    [--data ragged|intent] [--precision float32|bfloat16] [--rows 64] [--rounds 3] [--preload LIBRARY]

Two races on identical rows. `identical`: both sides train on the same batches in the same order, and the losses of all
steps are compared; what is left is how a step is computed. `own`: each side makes its own batches of the same rows,
the loop at random as its DataLoader does, ours grouped by length and laid out as the train stage does it (`intent`:
rows with a common prompt). Same number of steps, same libraries; see bench_train for the protocol.
"""

import argparse
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.bench_train import BATCH, CACHE, instruction_set
from tests.bench.train_sides import Job, Side
from tests.bench.train_sides_rows import (
    SMALL_VOCABULARY,
    prompted_rows,
    ragged_rows,
    small_folder,
    smollm2_folder,
    write_rows,
)

TOLERANCE = {False: 1e-5, True: 3e-2}
"""Greatest relative difference of a step's loss; see bench_train_prefix about bfloat16."""


def sides_of(job: Job, preload: str) -> list[Side]:
    """Ours first; it makes the adapter that both start from where losses are compared."""
    extra = {"LD_PRELOAD": preload} if preload else {}
    here = Path(sys.executable)
    ours = Side("sftjobs", here, "tests.bench.train_sides_ours", job, "grouped", extra)
    if job.adapter is not None:
        ours.ask({"do": "adapter", "path": job.adapter})
    return [ours, Side("peft's loop", here, "tests.bench.train_sides_loop", job, "", extra)]


def race(sides: list[Side], requests: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The replies of both sides to each request; who is first alternates."""
    found: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for number, request in enumerate(requests):
        for side in sides if number % 2 == 0 else reversed(sides):
            found[side.name].append(side.ask(request))
    return found


def show(what: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Medians, each single value, and the ratio."""
    medians = {name: statistics.median(one["cpu"] for one in replies) for name, replies in found.items()}
    ours, theirs = medians.values()
    for name, replies in found.items():
        wall = statistics.median(one["wall"] for one in replies)
        peak = max(one["peak_mib"] for one in replies)
        each = " ".join(f"{one['cpu']:.1f}" for one in replies)
        print(f"  {what}: {name:11} {medians[name]:6.1f} s CPU ({each}), {wall:.1f} s wall, peak {peak:,.0f} MiB")
    print(f"  {what}: {theirs / ours:.2f}x in {found['sftjobs'][0]['steps']} steps", flush=True)


def worst_difference(found: dict[str, list[dict[str, Any]]]) -> float:
    """Greatest relative difference of the loss of a step."""
    pairs = zip(*found.values(), strict=True)
    return max(
        abs(a - b) / abs(b) for ours, theirs in pairs for a, b in zip(ours["losses"], theirs["losses"], strict=True)
    )


def main() -> None:
    """Print the figures of one setting; exit status 1 if losses differ."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["small", "smollm2"], default="smollm2")
    parser.add_argument("--method", choices=["full", "lora", "qlora"], default="lora")
    parser.add_argument("--data", choices=["ragged", "intent"], default="ragged")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preload", default="", help="allocator of both sides")
    given = parser.parse_args()
    folder = (small_folder if given.model == "small" else smollm2_folder)(CACHE)
    print(
        f"{given.model}, {given.method}, {given.precision}, {given.data}, batch {BATCH}; one thread on "
        f"{instruction_set()}{', ' + given.preload if given.preload else ''}\n  ",
        end="",
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rows.jsonl"
        rows = (prompted_rows if given.data == "intent" else ragged_rows)(folder, given.rows)
        write_rows(rows, path, SMALL_VOCABULARY if given.model == "small" else None)
        adapter = None if given.method == "full" else str(Path(name) / "adapter.safetensors")
        job = Job(str(folder), str(path), given.method, given.precision == "bfloat16", BATCH, adapter)
        sides = sides_of(job, given.preload)
        same = race(sides, [_forced(given.rows, seed) for seed in range(given.rounds)])
        apart = worst_difference(same)
        print(f"  losses of the same batches: at most {apart:.1e} apart, relatively")
        if apart > TOLERANCE[job.bfloat16]:
            print(f"  more than {TOLERANCE[job.bfloat16]:.0e}: NO SPEED IS REPORTED")
            sys.exit(1)
        show("identical", same)
        show("own", race(sides, [{"do": "epoch", "seed": n, "schedule": "linear"} for n in range(given.rounds)]))


def _forced(rows: int, seed: int) -> dict[str, Any]:
    """An epoch of random batches that both sides are given."""
    order = random.Random(seed).sample(range(rows), rows)
    batches = [order[start : start + BATCH] for start in range(0, rows, BATCH)]
    return {"do": "check", "batches": batches, "steps": len(batches), "schedule": "linear"}


if __name__ == "__main__":
    main()
