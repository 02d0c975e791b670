"""Evaluation on a GPU, and over all of them: the same answers and losses wherever the layers are."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sftjobs.plan.configs import DecodingConfig, Device, EvalConfig, MetricConfig
from tests.support.eval_data import data_folder, label_examples
from tests.support.program_runner import run_program
from tests.support.tiny import tiny_model


def predictions(work: Path, inputs: dict[str, Path], device: Device, spread_over: int = 0) -> list[dict[str, Any]]:
    config = EvalConfig(
        metrics=[MetricConfig(name="accuracy"), MetricConfig(name="loss")],
        decoding=DecodingConfig(max_new_tokens=8, seed=1),
        device=device,
        spread_over=spread_over,
        threads_per_process=1,
        seed=1,
    )
    outcome = run_program("jobs.eval", config, inputs, work, timeout_s=600)
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    return [json.loads(line) for line in (outcome.content / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("held-out")
    return {
        "model": tiny_model(folder / "base", layers=8, hidden=256),
        "data": data_folder(folder / "data", label_examples(12)),
    }


@pytest.mark.on_cpu_too
def test_losses_are_those_of_the_cpu(held_out: dict[str, Path], device: Device, tmp_path: Path) -> None:
    """To the rounding of bfloat16, which evaluation on a GPU has."""
    found = predictions(tmp_path / "found", held_out, device)
    wanted = predictions(tmp_path / "wanted", held_out, "cpu")
    assert len(found) == len(wanted) == 12
    for one, other in zip(found, wanted, strict=True):
        assert one["scores"]["loss"] == pytest.approx(other["scores"]["loss"], rel=3e-2)


@pytest.mark.parametrize("gpus", [2, 4, 8])
def test_layers_over_several_gpus_answer_the_same(held_out: dict[str, Path], gpus: int, tmp_path: Path) -> None:
    if gpus > torch.cuda.device_count():
        pytest.skip(f"{gpus} GPUs are needed, there are {torch.cuda.device_count()}")
    assert predictions(tmp_path / "one", held_out, "cuda") == predictions(tmp_path / "several", held_out, "cuda", gpus)
