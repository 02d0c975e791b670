"""The bare side of bench_harness: the same steps in a loop under torchrun, without all that the harness does.

torchrun --nproc-per-node 2 -m tests.bench.harness_loop CONFIG.json MODEL_FOLDER DATA_FOLDER TIMES.jsonl

Batches are laid out before the first step; a step is forward, backward, clipping, AdamW and the schedule. Rank 0 writes
when each step ended, and at last the losses of all steps over all ranks, which must be those of the train stage.
"""

import json
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from transformers import get_scheduler

from jobs.lm.onednn import onednn_linears
from jobs.lm.prefix import Layouts
from jobs.lm.render import Renderer, load_tokenizer
from jobs.lm.token_losses import scored_positions, summed_loss
from jobs.train.__main__ import pad_token, training_order
from jobs.train.arguments import SCHEDULES
from jobs.train.determinism import make_repeatable
from jobs.train.engine import quiet
from jobs.train.examples import read_training_set
from jobs.train.model import open_for_training
from jobs.train.steps import Steps
from sftjobs.plan.configs import TrainConfig


def main(config_file: Path, base: Path, data: Path, times: Path) -> None:
    """One rank of the training."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    config = TrainConfig.model_validate_json(config_file.read_bytes())
    make_repeatable(config.seed, config.threads_per_process)
    quiet()
    renderer = Renderer(load_tokenizer(base))
    examples = read_training_set(data / "train.jsonl", renderer, config.max_tokens)
    model = open_for_training(base, config)
    pad_id = pad_token(renderer)
    order = training_order(config, examples)
    steps = Steps(examples, order, Layouts(model.config, pad_id), config, rank, pad_id)
    prepared = [steps[number] for number in range(config.steps)]
    wrapped = DistributedDataParallel(model, broadcast_buffers=False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    schedule = get_scheduler(SCHEDULES[config.schedule], optimizer, config.warmup_steps, config.steps)
    losses = []
    wrapped.train()
    with onednn_linears(model), times.open("a", encoding="utf-8", buffering=1) as written:
        for step in prepared:
            (micro,) = step.micro_batches
            with scored_positions(wrapped, micro.batch.positions):
                logits = wrapped(**micro.batch.inputs, use_cache=False).logits
            loss = summed_loss(logits, micro.batch.targets)
            (loss * (config.world_size / step.supervised)).backward()
            clip_grad_norm_(trained, config.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.detach() / step.supervised)
            if rank == 0:
                written.write(json.dumps({"t": time.time(), "phase": "train", "step": step.number + 1}) + "\n")
    every = torch.stack(losses)
    dist.all_reduce(every)
    if rank == 0:
        times.with_suffix(".losses").write_text(json.dumps(every.tolist()), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
