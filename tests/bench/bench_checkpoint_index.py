"""The index of a checkpoint of 4,096 ranks: seconds from the last uploaded part to COMMIT, and of a node's look at it.

    python -m tests.bench.bench_checkpoint_index [--nodes 512] [--ranks 8] [--files 3] [--store folder|s3]

Parts are written beforehand, with files of a few bytes: what is measured is the listing, the parts by node and COMMIT.
Goal: less than 30 s, and no object above 2 MiB.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sftjobs import names
from sftjobs.artifact import checkpoints
from sftjobs.artifact.checkpoints import Place
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.folder import FolderStore
from sftjobs.store.open import open_store
from tests.support import seaweed

MOST = 2 * 2**20
STEP = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--nodes", 512), ("--ranks", 8), ("--files", 3)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--store", choices=("folder", "s3"), default="s3")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _store(options.store, Path(folder)) as store:
        measure(store, Path(folder), options.nodes, options.ranks, options.files)


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[Store]:
    if kind == "folder":
        yield FolderStore(folder / "store")
        return
    with seaweed.seaweed(folder) as server:
        yield open_store(_spec(server), folder)


def _spec(server: seaweed.Seaweed) -> StoreSpec:
    os.environ |= {"BENCH_ACCESS": seaweed.ACCESS_KEY, "BENCH_SECRET": seaweed.SECRET_KEY}
    return StoreSpec.model_validate(
        {
            "uri": f"s3://{seaweed.BUCKET}/index",
            "endpoint": server.endpoint,
            "region": "us-east-1",
            "access_key": {"env": "BENCH_ACCESS"},
            "secret_key": {"env": "BENCH_SECRET"},
        }
    )


def measure(store: Store, folder: Path, nodes: int, ranks: int, files: int) -> None:
    place = Place(store, "train", "0" * 64, 1)
    local = folder / names.step_folder(STEP)
    for rank in range(nodes * ranks):
        part = local / names.rank_folder(rank)
        part.mkdir(parents=True)
        for number in range(files):
            (part / f"shard-{number}.bin").write_bytes(f"{rank} {number}".encode())
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        uploads = [
            pool.submit(checkpoints.upload_part, place, local, node, range(node * ranks, (node + 1) * ranks))
            for node in range(nodes)
        ]
        for upload in uploads:
            upload.result()
    print(f"{nodes} nodes x {ranks} ranks x {files} files written in {time.monotonic() - began:.1f} s (not the goal)")
    began = time.monotonic()
    size = checkpoints.commit(place, STEP, nodes * ranks, nodes)
    committed = time.monotonic() - began
    began = time.monotonic()
    found = checkpoints.list_checkpoints(store, place.kind, place.key)[0]
    checkpoints.fetch_part(store, place.kind, place.key, found, nodes * ranks, nodes - 1, folder / "fetched")
    fetched = time.monotonic() - began
    largest = max((entry.size, entry.key) for entry in store.list(names.stage_prefix(place.kind, place.key)))
    print(f"commit: {committed:.2f} s ({size:,} bytes); the last node's part and rank 0's: {fetched:.2f} s")
    print(f"largest object: {largest[0] / 1024:.0f} KiB, {largest[1].rpartition('/')[2]}")
    assert largest[0] <= MOST


if __name__ == "__main__":
    main()
