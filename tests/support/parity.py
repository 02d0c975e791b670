"""How far two trainings are apart: loss and gradient per step, final weights per tensor."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.support.program_runner import Outcome


@dataclass(frozen=True)
class Distance:
    """Largest relative differences."""

    loss: float
    """Over all steps."""
    gradient_norm: float
    """Over all steps; before clipping."""
    weights: float
    """Over all tensors of the tuned model: norm of the difference over norm of the tensor."""
    moved: float
    """The same between the tuned model and its base: what a training that does nothing would have."""


def distance(found: Outcome, reference: Outcome, base: Path) -> Distance:
    """Of two trainings of the model in the folder `base`."""
    steps, expected = _steps(found), _steps(reference)
    assert len(steps) == len(expected)
    tuned, wanted = _weights(found.content / "model"), _weights(reference.content / "model")
    return Distance(
        loss=_largest([one[0] for one in steps], [one[0] for one in expected]),
        gradient_norm=_largest([one[1] for one in steps], [one[1] for one in expected]),
        weights=_apart(tuned, wanted),
        moved=_apart(_weights(base), wanted),
    )


def _steps(outcome: Outcome) -> list[tuple[float, float]]:
    """Loss and norm of the gradient."""
    points = map(json.loads, (outcome.info / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [(point["loss"], point["gradient_norm"]) for point in points if "loss" in point]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def _largest(found: list[float], expected: list[float]) -> float:
    return max(abs(one - other) / other for one, other in zip(found, expected, strict=True))


def _apart(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(((found[name] - one).norm() / one.norm()).item() for name, one in expected.items())
