"""How long training stands still for a checkpoint, and how long a resume takes beyond the transfer.

    python -m tests.bench.bench_checkpoint [--rounds 5] [--hidden 1024] [--layers 7]

A random Llama whose weights and AdamW moments are about 1 GiB, on a folder in the page cache. Saving is what the train
stage does at the edge between two steps (jobs/train/checkpoint.py); the peer is one torch.save of the same tensors.
Goals: less than 1.2 times torch.save; resume below 3 s for 1 GiB.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from jobs.train.parallel import Replicated
from sftjobs import names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--rounds", 5), ("--hidden", 1024), ("--layers", 7)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()
    model, optimizer, schedule = _training(options.hidden, options.layers)
    parallel = Replicated()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        folder = Path(scratch)
        step = folder / names.step_folder(1)
        part = step / names.rank_folder(0)
        ours, peers, resumes = [], [], []
        for _ in range(options.rounds):
            shutil.rmtree(step, ignore_errors=True)
            part.mkdir(parents=True)
            ours.append(_seconds(lambda: parallel.save(part, 0, model, optimizer, schedule)))
            state = {"weights": dict(model.named_parameters()), "optimizer": optimizer.state_dict()}
            peers.append(_seconds(lambda: torch.save(state, folder / "peer.pt")))  # noqa: B023
            (folder / "peer.pt").unlink()
            resumes.append(_seconds(lambda: _resume(parallel, step, model, optimizer, schedule)))
        size = sum(path.stat().st_size for path in part.iterdir())
    ratios = [mine / peer for mine, peer in zip(ours, peers, strict=True)]
    print(f"{size / 2**30:.2f} GiB of weights and optimizer, median of {options.rounds}")
    print(
        f"save {statistics.median(ours):.2f} s, torch.save {statistics.median(peers):.2f} s, ratio of a round ", end=""
    )
    print(f"{statistics.median(ratios):.2f} ({' '.join(f'{ratio:.2f}' for ratio in ratios)})")
    print(f"resume {statistics.median(resumes):.2f} s ({' '.join(f'{value:.2f}' for value in resumes)})")


def _training(
    hidden: int, layers: int
) -> tuple[LlamaForCausalLM, torch.optim.AdamW, torch.optim.lr_scheduler.LRScheduler]:
    config = LlamaConfig(
        vocab_size=8192, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=8, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    for value in model.parameters():
        value.grad = torch.zeros_like(value)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer, schedule


def _resume(parallel: Replicated, step: Path, model: LlamaForCausalLM, optimizer: object, schedule: object) -> None:
    parallel.load_weights(step, model)
    parallel.load(step, 0, optimizer, schedule)  # type: ignore[arg-type]


def _seconds(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
