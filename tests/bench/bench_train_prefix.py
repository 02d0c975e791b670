"""Training of examples that share a long prompt, against TRL and `transformers.Trainer`: CPU seconds.

make bench-prefix                                                the table of docs/performance.md
.venv/bin/python -m tests.bench.bench_train_prefix --peer .tools/peers/trl/bin/python [--batch 8 16] [--rounds 3]
    [--precision float32|bfloat16] [--preload libtcmalloc_minimal.so.4]

The rows are those of examples/intent: 222 tokens are common, a row has 238 to 249. The model is SmolLM2-135M with LoRA
(rank 16 on all linear layers), one optimizer step is one micro batch. Before a speed is printed, loss and gradients of
a forced batch are compared with those of the stock Trainer in float32, from an adapter whose matrices are not zero. See
bench_train for the protocol and for what a CPU does not tell about a GPU.
"""

import argparse
import math
import sys
import tempfile
from pathlib import Path

from safetensors.torch import load_file

from tests.bench.bench_train import CACHE, PEERS, Setting, check, instruction_set, race, sides_of
from tests.bench.train_sides import Job, Side
from tests.bench.train_sides_rows import prompted_rows, smollm2_folder, write_rows

GRADIENT_TOLERANCE = 1e-5
TOLERANCE = {False: 1e-5, True: 3e-2}
"""Greatest relative difference of the loss. In bfloat16 that of a few tokens moves by 1 in 100 with the layout alone:
float32 gives 2.485, autocast 2.477 (padded) and 2.492 (one row) with the same weights."""


def gradient_difference(ours: Side, theirs: Side, batch: list[int], scratch: Path) -> float:
    """Norm of the difference of all gradients of one batch, relative to the norm of theirs."""
    found = []
    for side in (ours, theirs):
        path = scratch / f"{side.name}.safetensors"
        side.ask({"do": "check", "batches": [batch], "steps": 1, "gradients": str(path)})
        found.append(load_file(path))
    mine, other = found
    assert mine.keys() == other.keys()
    apart = math.fsum(float((mine[name] - other[name]).double().square().sum()) for name in other)
    return math.sqrt(apart / math.fsum(float(one.double().square().sum()) for one in other.values()))


def measure(given: argparse.Namespace, batch: int, scratch: Path) -> bool:
    """Print the figures of one micro batch size; False if results differ."""
    folder, rows, adapter = smollm2_folder(CACHE), scratch / "rows.jsonl", scratch / "adapter.safetensors"
    print(f"micro batch {batch}\n  ", end="")
    write_rows(prompted_rows(folder, batch * given.steps), rows)
    bfloat16 = given.precision == "bfloat16"
    job = Job(str(folder), str(rows), method="lora", bfloat16=bfloat16, batch=batch, adapter=str(adapter))
    sides = sides_of(Setting(job, given.peer, given.preload, given.rounds), given.peers)
    if not bfloat16:
        apart = gradient_difference(sides[0], sides[1], list(range(batch)), scratch)
        print(f"  gradients of one step against {sides[1].name}: {apart:.1e} apart", flush=True)
        if apart > GRADIENT_TOLERANCE:
            print(f"  more than {GRADIENT_TOLERANCE:.0e}: NO SPEED IS REPORTED")
            return False
    if not check(sides, [list(range(batch))], TOLERANCE[bfloat16]):
        return False
    race(sides, given.rounds)
    return True


def main() -> None:
    """Print the figures of the micro batch sizes that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--batch", type=int, nargs="*", default=[8, 16])
    parser.add_argument("--steps", type=int, default=1, help="optimizer steps of one measured training")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=["trainer", "trl-packed"], choices=PEERS)
    parser.add_argument("--preload", default="", help="allocator of all sides")
    given = parser.parse_args()
    print(
        f"SmolLM2-135M, lora, {given.precision}, common prompt; one thread on {instruction_set()}"
        f"{', ' + given.preload if given.preload else ''}"
    )
    with tempfile.TemporaryDirectory() as name:
        good = all(measure(given, batch, Path(name)) for batch in given.batch)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
