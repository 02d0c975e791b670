"""Too little memory: a real allocation that fails, and what the program says then."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jobs.train.__main__ import run
from jobs.train.memory import Memory, is_out_of_memory
from sftjobs.advice.memory import total
from sftjobs.errors import DataError
from sftjobs.names import Exit
from tests.support.architectures import make_model
from tests.support.program_runner import REPOSITORY, environment, run_here, run_program, stage_plan
from tests.support.tiny import tiny_model
from tests.support.training import train_config, training_data

LIMITED = """
import resource
import torch
from pathlib import Path
import jobs.train.__main__ as program
from sftjobs.program import main

pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + {room}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
main(program.run)
"""


def run_limited(room: int, base: Path, data: Path, work: Path) -> "subprocess.CompletedProcess[str]":
    """The train program with `room` bytes of address space above what its imports take."""
    config = train_config("full", examples=64, micro_batch_size=64)
    inputs = {"model": base, "data": data}
    environ = environment(stage_plan("jobs.train", config, inputs), inputs, work)
    settings = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MALLOC_ARENA_MAX": "1"}
    return subprocess.run(
        [sys.executable, "-c", LIMITED.format(room=room)],
        env={"PATH": "/usr/bin:/bin", **settings, **environ},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_a_failed_allocation_names_parts_and_ways_out(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", layers=6, hidden=256)
    data = training_data(tmp_path / "data", examples=64)
    outcome = run_limited(200 * 2**20, base, data, tmp_path / "work")
    assert outcome.returncode == Exit.BAD_CONFIG, outcome.stderr
    assert "memory of a rank, estimated: " in outcome.stdout
    message = outcome.stderr.strip().splitlines()[-1]
    assert message.startswith("error: out of memory in training step 1, whose largest micro batch has 64 examples in ")
    for part in ("weights 0.0", "gradients 0.0", "optimizer 0.0", "activations 0.", "GiB were in use"):
        assert part in message
    for change in ("train.micro_batch_size: ", "train.activation_checkpointing: true", "train.precision: bfloat16"):
        assert re.search(rf"{change}\d* \(about 0\.\d+ GiB less[,)]", message), message
    assert "resources.train.memory_gib: 9 instead of 8" in message
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("room", "said"),
    [
        # All that is known of a training that should have fitted is what it was estimated at.
        (1.0, r"less: train\.micro_batch_size: 4 \(about \S+ GiB less\); train\.\S+ \S+ \(about \S+ GiB less\); "),
        (0.75, r"less: (?!.*together)train\.\S+ \S+ \(about \S+ GiB less, enough\); .* GiB less\); or resources"),
        (
            0.01,
            r"less: (train\.\S+ \S+ \(about \S+ GiB less\)(; |, )){3}together about \S+ GiB, of \S+ GiB that there are",
        ),
    ],
)
def test_changes_that_are_enough_come_first(
    room: float, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a GPU it is known how much there is; `room` is the share of what tensors need."""
    inputs = {"model": tiny_model(tmp_path / "base"), "data": training_data(tmp_path / "data")}

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def there_is(memory: Memory) -> int:
        assert memory._case is not None
        other = memory._case.other
        return other + int(room * (total(memory._case) - other))

    monkeypatch.setattr(Memory, "_room", there_is)
    monkeypatch.setattr("jobs.train.trainer.SftTrainer.training_step", fail)
    with pytest.raises(DataError, match=said):
        run_here(run, "jobs.train", train_config("full", micro_batch_size=8), inputs, tmp_path / "work")


def test_enough_memory_is_enough(tmp_path: Path) -> None:
    """The same training, so that the limit above is what fails it."""
    base = tiny_model(tmp_path / "base", layers=6, hidden=256)
    data = training_data(tmp_path / "data", examples=64)
    outcome = run_limited(4 * 2**30, base, data, tmp_path / "work")
    assert outcome.returncode == 0, outcome.stderr


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.float64)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(OSError(28, "No space left on device"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    wrapped = ValueError("cannot be opened")
    wrapped.__cause__ = OSError(12, "Cannot allocate memory")
    assert is_out_of_memory(wrapped)
    assert caught.value is not None


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_mixture_of_experts_is_estimated_by_the_parameters_that_were_opened(method: str, tmp_path: Path) -> None:
    """They do not follow from its sizes, and no training fails for want of an estimate."""
    base = tiny_model(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    changed = {name: config[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    make_model("qwen3_moe", **changed, max_position_embeddings=512, sliding_window=None).save_pretrained(base)
    data = training_data(tmp_path / "data", examples=8)
    settings = train_config(method, examples=8, max_tokens=512)
    outcome = run_program("jobs.train", settings, {"model": base, "data": data}, tmp_path / "work")
    assert outcome.returncode == 0, outcome.stderr
    assert "memory of a rank, estimated: " in outcome.stdout
