"""Checkpoints: what cannot be computed again from plan and data, namely trained weights and optimizer.

    step-<N>/rank-00000/   checkpoint.json, weights.safetensors (trainable weights only), optimizer.pt (+ schedule),
                           kept.safetensors (those of the best look at the dev set, if it was at an earlier step)
    step-<N>/rank-<r>/     checkpoint.json

With ZeRO every rank has shard.pt with its part of weights and optimizer instead, and rank 0 kept.safetensors whenever
there are best weights.

Data order and dropout are functions of (seed, step), so neither a position nor a random state is kept.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from jobs.train.cycles import adapter_of, finished_pairs, put_pairs, split_pairs
from jobs.train.disk import writing
from sftjobs import names
from sftjobs.errors import CheckpointError
from sftjobs.model import Document
from sftjobs.program import Program

FORMAT = 2
HEADER = "checkpoint.json"
WEIGHTS = "weights.safetensors"
KEPT = "kept.safetensors"
OPTIMIZER = "optimizer.pt"


class Point(Document):
    """One finished step in the training's history."""

    step: int
    """From 1."""
    loss: float
    """Mean per supervised token, nats."""
    learning_rate: float
    tokens_per_s: float
    """Tokens of examples, without padding, per second of wall time."""
    gradient_norm: float | None = None
    """Over all ranks, before clipping; None in checkpoints of before it was noted."""


class Look(Document):
    """What a look at the dev set saw."""

    step: int
    """Optimizer steps done before it; 0: before the first."""
    loss: float
    """Mean per supervised token of the dev examples, nats."""
    metric: str | None = None
    """What scores generated answers; None: nothing was generated."""
    lower_is_better: bool = False
    """Of the metric."""
    score: float | None = None
    """Of the metric; None without one, or if no answer could be scored."""


class Header(Document):
    """`checkpoint.json`: what the checkpoint belongs to and how far it is."""

    format: int
    key: str
    """Stage key of the training."""
    step: int
    """Optimizer steps done."""
    world_size: int
    parallel: str = "ddp"
    """How its ranks shared weights and optimizer (`jobs.train.parallel`)."""
    history: list[Point]
    """Every step so far; in the part of rank 0 only."""
    looks: list[Look]
    """Every look at the dev set so far; in the part of rank 0 only."""


def read_header(folder: Path, program: Program, parallel: str = "ddp") -> Header:
    """The header of this rank's part of the checkpoint `folder`, with history and looks of rank 0's.

    `parallel`: how the ranks of this training share weights and optimizer.

    Raises CheckpointError if it is incomplete or belongs to another training: nothing of it may be loaded then.
    """
    header = _read_part(folder, program, program.rank, parallel)
    if program.rank == 0:
        return header
    # Every rank decides on them (early stop, guards), and all must decide the same.
    first = _read_part(folder, program, 0, parallel)
    return header.model_copy(update={"history": first.history, "looks": first.looks})


def _read_part(folder: Path, program: Program, rank: int, parallel: str) -> Header:
    path = folder / names.rank_folder(rank) / HEADER
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"checkpoint {folder.name}: {names.rank_folder(rank)}/{HEADER}: {error}") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"checkpoint {folder.name}: format {found}, this version reads {FORMAT}; {CheckpointError.way_out}"
        )
    try:
        header = Header.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(
            f"checkpoint {folder.name}: {names.rank_folder(rank)}/{HEADER} is incomplete: {error}; "
            f"{CheckpointError.way_out}"
        ) from error
    if header.key != program.plan.key:
        raise CheckpointError(
            f"checkpoint {folder.name} belongs to stage key {header.key[:12]}, this training has "
            f"{program.plan.key[:12]}: model, data or settings differ; {CheckpointError.way_out}"
        )
    if header.world_size != program.world_size:
        raise CheckpointError(
            f"checkpoint {folder.name} was made by {header.world_size} ranks, this training has {program.world_size}; "
            f"{CheckpointError.way_out}"
        )
    if header.parallel != parallel:
        raise CheckpointError(
            f"checkpoint {folder.name} was made with {header.parallel}, this training has {parallel} (train.zero); "
            f"{CheckpointError.way_out}"
        )
    return header


def save(
    program: Program,
    write: Callable[[Path], None],
    parallel: str,
    step: int,
    history: list[Point],
    looks: list[Look],
    kept: Path | None,
) -> None:
    """This rank's part of the checkpoint after `step`, renamed into place once it is whole.

    `write` puts weights and optimizer into a folder, as `parallel` has them. `kept`: file with the best weights so far,
    if the checkpoint has to hold it.
    """
    header = Header(
        format=FORMAT,
        key=program.plan.key,
        step=step,
        world_size=program.world_size,
        parallel=parallel,
        history=history if program.rank == 0 else [],
        looks=looks if program.rank == 0 else [],
    )
    with writing(program.checkpoints, f"checkpoint of step {step}"):
        folder = program.new_checkpoint(step)
        write(folder)
        if program.rank == 0 and kept is not None:
            shutil.copyfile(kept, folder / KEPT)
        (folder / HEADER).write_text(header.model_dump_json(), encoding="utf-8")
        program.finish_checkpoint(folder)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put the trained weights of the checkpoint into `model`. Raises CheckpointError if they are not its weights."""
    state = load_file(folder / names.rank_folder(0) / WEIGHTS)
    current, finished = split_pairs(state)
    for found in (current, *finished):
        _compare(folder, {name: value.shape for name, value in found.items()}, adapter_of(model))
    put_weights(state, model)


def put_weights(state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Overwrite the parameters that `state` names, and those that follow from the pairs of finished cycles in it."""
    put_pairs(split_pairs(state)[1], model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in state:
                parameter.copy_(state[name])


def load_optimizer(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """State of optimizer and schedule; read without running code from the file."""
    path = folder / names.rank_folder(0) / OPTIMIZER
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state["optimizer"], state["schedule"]


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """Trainable parameters by name, and the pairs of finished cycles (jobs/train/cycles.py)."""
    return {name: value.detach().contiguous() for name, value in adapter_of(model).items()} | finished_pairs(model)


def _compare(folder: Path, found: Mapping[str, torch.Size], expected: Mapping[str, Tensor]) -> None:
    wrong = sorted(set(found) ^ set(expected)) + sorted(
        name for name in set(found) & set(expected) if found[name] != expected[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"checkpoint {folder.name}: weights differ from the model's: {wrong[0]}; {CheckpointError.way_out}"
        )
