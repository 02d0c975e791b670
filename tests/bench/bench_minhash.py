"""Near-duplicates of short texts in Chinese and English, against datasketch and Data-Juicer's operator on equal texts.

    python -m tests.bench.bench_minhash [--texts 50000] [--repeats 5]      ratios and recall
    python -m tests.bench.bench_minhash --alone 1000000                    seconds and peak memory of ours

Each side runs in a process of its own with one thread and cuts texts into the same shingles (Data-Juicer's operator by
its own code: windows of words or characters of the same length); seconds are those of the CPU, without imports.
What is found is compared with all pairs, by an exact join.

    python -m venv .tools/peers/datasketch && .tools/peers/datasketch/bin/pip install datasketch==2.0.0
    python -m venv .tools/peers/datajuicer && .tools/peers/datajuicer/bin/pip install py-data-juicer==1.6.0
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from jobs.data.near import clusters
from jobs.data.near.shingles import CHARACTERS, WORDS, shingles

THRESHOLD = 0.7
DATA = Path(__file__).parents[3] / "shared/data"
PEERS = Path(__file__).parents[2] / ".tools/peers"
RUNNER = Path(__file__).with_name("minhash_sides.py")
_BLOCK = 1000


def texts_of(number: int, language: str) -> list[str]:
    """Passages of real texts, from a seed; one of three is an earlier one with up to five words changed."""
    draw = random.Random(f"{number} {language}")
    source = _chinese() if language == "zh" else _english()
    joint = "" if language == "zh" else " "
    least, most = (12, 40) if language == "zh" else (6, 20)
    found: list[list[str]] = []
    for _ in range(number):
        if found and draw.random() < 1 / 3:
            one = list(draw.choice(found))
            for _ in range(draw.randint(0, 5)):
                at = draw.randrange(len(one) or 1)
                one[at : at + draw.randint(0, 1)] = draw.choices(source, k=draw.randint(0, 1))
            found.append(one or source[:least])
        else:
            start = draw.randrange(len(source) - most)
            one = source[start : start + draw.randint(least, most)]
            for _ in range(len(one) // 2):  # the sources are short: passages that overlap have to differ
                one[draw.randrange(len(one))] = draw.choice(source)
            found.append(one)
    return [joint.join(one) for one in found]


def _chinese() -> list[str]:
    tasks = [json.loads(line) for line in (DATA / "belle_zh_seed_tasks.json").read_text("utf-8").splitlines()]
    texts = [task["instruction"] + "".join(i["input"] + i["output"] for i in task["instances"]) for task in tasks]
    return [character for character in "".join(texts) if "\u4e00" <= character <= "\u9fff"]


def _english() -> list[str]:
    clinc = json.loads((DATA / "clinc150_small.json").read_text("utf-8"))
    gsm = [json.loads(line)["question"] for line in (DATA / "gsm8k_test.jsonl").read_text("utf-8").splitlines()]
    return " ".join([*(text for text, _ in clinc["train"]), *gsm]).split()


def all_pairs(texts: list[str], threshold: float) -> set[tuple[int, int]]:
    """Every pair with a Jaccard similarity of at least `threshold`: common shingles by a product of sparse matrices."""
    numbers: dict[str, int] = {}
    indices: list[int] = []
    starts = [0]
    for text in texts:
        indices += [numbers.setdefault(one, len(numbers)) for one in shingles(text)]
        starts.append(len(indices))
    matrix = csr_array((np.ones(len(indices), np.int32), indices, starts), shape=(len(texts), len(numbers)))
    sizes = np.diff(starts)
    other = matrix.T.tocsr()
    found: set[tuple[int, int]] = set()
    for start in range(0, len(texts), _BLOCK):
        shared = (matrix[start : start + _BLOCK] @ other).tocoo()
        left = shared.row + start
        alike = shared.data >= threshold * (sizes[left] + sizes[shared.col] - shared.data)
        alike &= left < shared.col
        found |= set(zip(left[alike].tolist(), shared.col[alike].tolist(), strict=True))
    return found


def run(side: str, texts: Path, language: str) -> dict[str, Any]:
    """One run of a side: {"seconds", "peak_mib", "pairs" or "kept"}."""
    python = {"ours": sys.executable}.get(side, str(PEERS / side.split("-")[0] / "bin/python"))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    arguments = [side, str(texts), language, str(THRESHOLD), str(WORDS if language == "en" else CHARACTERS)]
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = ["taskset", "-c", "0", python, str(RUNNER), *arguments, answer.name]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        result: dict[str, Any] = json.loads(Path(answer.name).read_text("utf-8"))
    return result


def compare(language: str, number: int, repeats: int, folder: Path) -> None:
    """Print the ratio and the recall of each side."""
    texts = texts_of(number, language)
    path = folder / f"{language}.json"
    path.write_text(json.dumps(texts), "utf-8")
    truth = all_pairs(texts, THRESHOLD)
    groups = len(np.unique(clusters(number, np.array(sorted(truth), np.int64).reshape(-1, 2))))
    print(f"{language}: {number:,} texts, {len(truth):,} pairs of at least {THRESHOLD}, {groups:,} groups")
    seconds: dict[str, float] = {}
    for side in ("ours", "datasketch", "datasketch-tuned", "datajuicer"):
        results = [run(side, path, language) for _ in range(repeats)]
        seconds[side] = statistics.median(result["seconds"] for result in results)
        line = f"  {side:16} {seconds[side]:7.2f} s, {seconds[side] / seconds['ours']:5.1f} x ours, "
        line += f"peak {results[0]['peak_mib']:.0f} MiB"
        if "pairs" in results[0]:
            pairs = {(a, b) for a, b in results[0]["pairs"]}
            recall = len(pairs & truth) / len(truth)
            line += f"; recall {recall:.4f}, {len(pairs - truth):,} pairs below the threshold"
            if side != "datasketch":
                assert recall >= 0.98, "the answers are not equal"
                assert pairs <= truth, "the answers are not equal"
            if side == "ours":
                assert all(result["pairs"] == results[0]["pairs"] for result in results)
        else:
            line += f"; keeps {results[0]['kept']:,}"
        print(line, flush=True)


def alone(number: int, folder: Path) -> None:
    """Print seconds and memory of ours, half of the texts Chinese."""
    texts = texts_of(number // 2, "zh") + texts_of(number - number // 2, "en")
    random.Random(1).shuffle(texts)
    path = folder / "all.json"
    path.write_text(json.dumps(texts), "utf-8")
    result = run("ours", path, "en")
    print(f"{number:,} texts: {result['steps']} s of one CPU, {len(result['pairs']):,} pairs, "
          f"{result['bytes_per_text']} bytes a text, peak {result['peak_mib']:.0f} MiB with the texts "
          f"({result['texts_mib']:.0f} MiB)")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--alone", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if given.alone:
            alone(given.alone, Path(temporary))
        else:
            for one in ("zh", "en"):
                compare(one, given.texts, given.repeats, Path(temporary))
