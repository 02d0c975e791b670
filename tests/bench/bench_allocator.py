"""Training on a CPU under allocators and settings of OpenMP: CPU and wall seconds of the same steps.

make bench-allocator
.venv/bin/python -m tests.bench.bench_allocator [--model small|smollm2] [--method lora|full]
    [--precision float32|bfloat16] [--rows 16] [--rounds 3] [--threads 1]

glibc gives the blocks of logits back to the kernel at every step and is given them again page by page. Settings are
environments of the process, compared in turn; those that name a library are left out with a line where it is not
installed (Debian: libtcmalloc-minimal4, libjemalloc2). With --threads 2 the settings of OpenMP are compared as well.
"""

import argparse
import ctypes
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.bench_train import BATCH, CACHE, instruction_set
from tests.bench.train_sides import Job, Side
from tests.bench.train_sides_rows import SMALL_VOCABULARY, ragged_rows, small_folder, smollm2_folder, write_rows

TCMALLOC = "libtcmalloc_minimal.so.4"
ALLOCATORS: dict[str, dict[str, str]] = {
    "glibc": {},
    "glibc, no mmap, no trim": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000"},
    "glibc, no mmap, no trim, 256 MiB ahead": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "1000000000000",
        "MALLOC_TOP_PAD_": str(256 * 2**20),
    },
    "jemalloc": {"LD_PRELOAD": "libjemalloc.so.2"},
    "tcmalloc": {"LD_PRELOAD": TCMALLOC},
}
OPENMP: dict[str, dict[str, str]] = {
    "tcmalloc, OMP_WAIT_POLICY unset": {"LD_PRELOAD": TCMALLOC, "OMP_WAIT_POLICY": ""},
    "tcmalloc, OMP_WAIT_POLICY=ACTIVE": {"LD_PRELOAD": TCMALLOC, "OMP_WAIT_POLICY": "ACTIVE"},
    "tcmalloc, GOMP_SPINCOUNT=0": {"LD_PRELOAD": TCMALLOC, "OMP_WAIT_POLICY": "", "GOMP_SPINCOUNT": "0"},
}


def usable(settings: dict[str, dict[str, str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """The settings whose library is installed; says which are not."""
    for name, environment in settings.items():
        library = environment.get("LD_PRELOAD")
        try:
            if library is not None:
                ctypes.CDLL(library)
        except OSError:
            print(f"  {name}: {library} is not installed, left out")
            continue
        yield name, environment


def main() -> None:
    """Print the seconds of every setting; the sides alternate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["small", "smollm2"], default="smollm2")
    parser.add_argument("--method", choices=["full", "lora"], default="lora")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    folder = (small_folder if given.model == "small" else smollm2_folder)(CACHE)
    print(f"{given.model}, {given.method}, {given.precision}, {given.threads} threads on {instruction_set()}")
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.jsonl"
        print("  ", end="")
        write_rows(ragged_rows(folder, given.rows), rows, SMALL_VOCABULARY if given.model == "small" else None)
        job = Job(str(folder), str(rows), given.method, given.precision == "bfloat16", BATCH)
        settings = ALLOCATORS if given.threads == 1 else {"tcmalloc": ALLOCATORS["tcmalloc"]} | OPENMP
        threads = {"OMP_NUM_THREADS": str(given.threads), "MKL_NUM_THREADS": str(given.threads)}
        sides = [
            Side(name, Path(sys.executable), "tests.bench.train_sides_ours", job, "grouped", environment | threads)
            for name, environment in usable(settings)
        ]
        found: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
        for number in range(given.rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                found[side.name].append(side.ask({"do": "epoch", "seed": 0, "threads": given.threads}))
    first = statistics.median(one["cpu"] for one in next(iter(found.values())))
    for name, replies in found.items():
        cpu = statistics.median(one["cpu"] for one in replies)
        wall, system = (statistics.median(one[key] for one in replies) for key in ("wall", "system"))
        peak = max(one["peak_mib"] for one in replies)
        shown = " ".join(f"{one['cpu']:.1f}" for one in replies)
        print(
            f"  {name:40} {cpu:6.1f} s CPU ({shown}), of which system {system:.1f}, wall {wall:.1f} s, "
            f"peak {peak:,.0f} MiB  {first / cpu:.2f}x"
        )


if __name__ == "__main__":
    main()
