"""The estimate of memory beside what CUDA allocated, and what is said when it is not enough."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sftjobs.advice.memory import total
from sftjobs.names import Exit
from tests.support.memory_case import Case, need, trainer_of
from tests.support.program_runner import REPOSITORY, environment, stage_plan
from tests.support.tiny import tiny_model
from tests.support.training import train_config, training_data

MODEL = {"model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 8}
MODEL |= {"vocab_size": 32_000, "num_attention_heads": 16, "num_key_value_heads": 4, "tie_word_embeddings": False}
CASES = [
    Case(MODEL, "full", "float32", 4, 512, 256),
    Case(MODEL, "full", "bfloat16", 8, 512, 256),
    Case(MODEL, "full", "bfloat16", 16, 512, 64, checkpointing=True),
    Case(MODEL, "lora", "bfloat16", 8, 512, 256),
    Case(MODEL, "lora", "bfloat16", 16, 512, 64, checkpointing=True),
    Case(MODEL, "full", "bfloat16", 8, 512, 256, micro_batches=3),
]
LIMITED = """
import torch
import jobs.train.__main__ as program
from sftjobs.program import main

torch.cuda.set_per_process_memory_fraction({room} / torch.cuda.get_device_properties(0).total_memory)
main(program.run)
"""


@pytest.mark.parametrize("case", CASES, ids=lambda one: f"{one.method}-{one.precision}-{one.rows}-{one.checkpointing}")
def test_the_estimate_is_within_15_percent_of_the_peak(case: Case, tmp_path: Path) -> None:
    trainer = trainer_of(case, tmp_path, "cuda")
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    trainer.train()
    measured, found = torch.cuda.max_memory_allocated(), total(need(case, gpu=True))
    print(f"estimated {found / 2**20:.0f} MiB, measured {measured / 2**20:.0f} MiB: {found / measured - 1:+.1%}")
    assert found == pytest.approx(measured, rel=0.15)


def test_too_little_memory_names_three_changes(tmp_path: Path) -> None:
    """A process that may have 400 MiB of the GPU."""
    inputs = {
        "model": tiny_model(tmp_path / "base", layers=12, hidden=512),
        "data": training_data(tmp_path / "data", examples=64),
    }
    config = train_config("full", examples=64, micro_batch_size=64, device="cuda")
    environ = environment(stage_plan("jobs.train", config, inputs), inputs, tmp_path / "work")
    settings = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    outcome = subprocess.run(
        [sys.executable, "-c", LIMITED.format(room=400 * 2**20)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **settings, **environ},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == Exit.BAD_CONFIG, outcome.stderr[-4000:]
    message = outcome.stderr.strip().splitlines()[-1]
    assert message.startswith("error: out of memory in training step 1")
    assert len(re.findall(r" GiB less[,)]", message)) == 3
    assert "train.activation_checkpointing: true" in message and "or a GPU with " in message
    assert " GiB less, enough)" in message or " that there are" in message
