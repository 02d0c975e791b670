"""One side of bench_minhash: near-duplicates of the texts of a file. Runs with the interpreter of the side it names.

Arguments: side, file of texts, language, threshold, length of a shingle, file for the answer.
"""

import importlib.util
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

_CHUNK = 1000


def ours(texts: list[str], threshold: float) -> dict[str, Any]:
    """As the data stage does it: bands in chunks, equal sets, candidates, exact similarity."""
    import numpy as np

    from jobs.data.near import bands_of, candidate_pairs, equal_sets, verify

    texts_mib, began = _peak(), time.process_time()
    bands = np.concatenate([bands_of(texts[i : i + _CHUNK], threshold) for i in range(0, len(texts), _CHUNK)])
    banded = time.process_time()
    leader = equal_sets(bands)
    distinct = np.flatnonzero(leader == np.arange(len(texts)))
    candidates = candidate_pairs(bands, distinct)
    paired = time.process_time()
    pairs = verify(candidates, lambda rows: [texts[i] for i in rows.tolist()], threshold)
    ended = time.process_time()
    steps = {"bands": banded - began, "candidates": paired - banded, "verify": ended - paired}
    return {
        "seconds": ended - began,
        "steps": {name: round(value, 1) for name, value in steps.items()},
        "bytes_per_text": int(bands.nbytes / len(texts)),
        "texts_mib": texts_mib,
        "peak_mib": _peak(),
        "pairs": _with_equal(leader.tolist(), pairs.tolist()),
    }


def _with_equal(leader: list[int], pairs: list[list[int]]) -> list[tuple[int, int]]:
    """All pairs: of the members of two sets that are alike, and of those with equal sets."""
    members: dict[int, list[int]] = {}
    for row, first in enumerate(leader):
        members.setdefault(first, []).append(row)
    found = [(a, b) for rows in members.values() for i, a in enumerate(rows) for b in rows[i + 1 :]]
    found += [(min(a, b), max(a, b)) for one, other in pairs for a in members[one] for b in members[other]]
    return sorted(found)


def datasketch(texts: list[str], threshold: float) -> dict[str, Any]:
    """As its documentation shows it: a MinHash per text, the index asked for each."""
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-not-found]

    shingles = _shingles()
    began = time.process_time()
    index = MinHashLSH(threshold=threshold, num_perm=128)
    pairs = []
    for row, text in enumerate(texts):
        minhash = MinHash(num_perm=128)
        for one in shingles(text):
            minhash.update(one.encode())
        pairs += [(other, row) for other in index.query(minhash)]
        index.insert(row, minhash)
    return {"seconds": time.process_time() - began, "peak_mib": _peak(), "pairs": pairs}


def datasketch_tuned(texts: list[str], threshold: float) -> dict[str, Any]:
    """All texts hashed in one call, as many bands as ours, and exact similarity at the end: the same answer as ours."""
    from datasketch import MinHash, MinHashLSH

    shingles = _shingles()
    began = time.process_time()
    sets = [shingles(text) for text in texts]
    hashes = MinHash.bulk([[one.encode() for one in each] for each in sets], num_perm=80, seed=1)
    index = MinHashLSH(num_perm=80, params=(20, 4))
    pairs = []
    for row, minhash in enumerate(hashes):
        for other in index.query(minhash):
            shared = len(sets[row] & sets[other])
            if shared >= threshold * (len(sets[row]) + len(sets[other]) - shared):
                pairs.append((other, row))
        index.insert(row, minhash)
    return {"seconds": time.process_time() - began, "peak_mib": _peak(), "pairs": pairs}


def datajuicer(texts: list[str], language: str, threshold: float, length: int) -> dict[str, Any]:
    """The operator document_minhash_deduplicator; it tells which texts stay, not which are alike."""
    from data_juicer.core.data import NestedDataset  # type: ignore[import-not-found]
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import (  # type: ignore[import-not-found]
        DocumentMinhashDeduplicator,
    )

    tokenization = "character" if language == "zh" else "space"
    operator = DocumentMinhashDeduplicator(tokenization, length, num_permutations=128, jaccard_threshold=threshold)
    data = NestedDataset.from_dict({"text": texts})
    began = time.process_time()
    hashed = data.map(operator.compute_hash)
    kept, _ = operator.process(hashed)
    return {"seconds": time.process_time() - began, "peak_mib": _peak(), "kept": len(kept)}


def _shingles() -> Any:
    """The function of ours, without what else its package imports."""
    path = Path(__file__).parents[2] / "jobs/data/near/shingles.py"
    spec = importlib.util.spec_from_file_location("shingles", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.shingles


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    side, path, language, threshold, length, answer = sys.argv[1:]
    texts = json.loads(Path(path).read_text("utf-8"))
    if side == "ours":
        result = ours(texts, float(threshold))
    elif side == "datasketch":
        result = datasketch(texts, float(threshold))
    elif side == "datasketch-tuned":
        result = datasketch_tuned(texts, float(threshold))
    else:
        result = datajuicer(texts, language, float(threshold), int(length))
    Path(answer).write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main()
