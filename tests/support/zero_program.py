"""Runs in the train image (tests/cluster/test_images.py mounts it): two ranks train with DeepSpeed's ZeRO-2 on gloo.

torchrun --nproc-per-node 2 zero_program.py     prints one JSON line on rank 0
"""

import json
import os
from typing import Any

import deepspeed
import torch
from deepspeed.ops.op_builder import CPUAdamBuilder, FusedAdamBuilder
from torch import distributed

STEPS = 5
RATE = 0.05


def examples(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rank)
    inputs = torch.randn(8, 16, generator=generator)
    return inputs, inputs.sum(dim=1, keepdim=True)


def new_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))


def with_zero(rank: int, offload: bool) -> tuple[str, float, torch.nn.Module]:
    """Name of DeepSpeed's optimizer, the last loss, the model."""
    zero: dict[str, Any] = {"stage": 2}
    if offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    config = {
        "train_micro_batch_size_per_gpu": 8,
        "optimizer": {"type": "AdamW", "params": {"lr": RATE, "weight_decay": 0.0}},
        "zero_optimization": zero,
        "gradient_clipping": 0.0,
    }
    model = new_model()
    engine, optimizer, _, _ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    inputs, targets = examples(rank)
    for _ in range(STEPS):
        loss = torch.nn.functional.mse_loss(engine(inputs), targets)
        engine.backward(loss)
        engine.step()
    return type(optimizer.optimizer).__name__, loss.item(), engine.module


def with_torch(world: int) -> torch.nn.Module:
    """The same training in one process, with nothing of DeepSpeed."""
    model = new_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    parts = [examples(rank) for rank in range(world)]
    inputs, targets = (torch.cat(column) for column in zip(*parts, strict=True))
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    return model


def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """Largest difference of any weight."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a.detach().float() - b.detach()).abs().max().item() for a, b in pairs)


def main() -> None:
    deepspeed.init_distributed("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    seen: dict[str, Any] = {"world": world, "backend": distributed.get_backend(), "uid": os.getuid()}
    reference = with_torch(world)
    for case, offload in (("offload", True), ("in place", False)):
        optimizer, loss, model = with_zero(rank, offload)
        seen[case] = {"optimizer": optimizer, "loss": loss, "distance": distance(model, reference)}
    seen["ops"] = [op.load().__file__ for op in (CPUAdamBuilder(), FusedAdamBuilder())]
    if rank == 0:
        print(json.dumps(seen), flush=True)
    distributed.barrier()
    distributed.destroy_process_group()  # joins gloo's threads; without it a rank may abort while it exits


main()
