"""Seconds from the COMMIT of a stage to the start of the next stage's program: process backend, folder in memory.

python tests/bench/bench_handover.py [rounds]
"""

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sftjobs import names
from tests.support.chain_runs import ChainRun


def handover(root: Path) -> float:
    """One run of two stages."""
    stamp = root / "started"
    chain = ChainRun.make(root, {"a": [], "b": ["a"]}, configs={"b": {"stamp": str(stamp)}})
    assert chain.run().outcome == "succeeded"
    commits = [entry for entry in chain.store.list(names.STAGES) if entry.key.endswith(f"/{names.COMMIT}")]
    return float(stamp.read_text()) - min(entry.modified for entry in commits)


def main(rounds: int) -> None:
    seconds = []
    for _ in range(rounds):
        root = Path(tempfile.mkdtemp(prefix="sftjobs-bench-", dir="/dev/shm"))
        seconds.append(handover(root))
        shutil.rmtree(root)
    print(
        f"COMMIT to next program start: best {min(seconds):.2f} s of {rounds}, all: "
        + " ".join(f"{value:.2f}" for value in seconds)
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
