"""The estimate of a training's memory beside the most that torch allocated in two steps of it."""

from pathlib import Path

import pytest

from jobs.lm import bfloat16_attention
from jobs.lm.layout_cost import _TWO_MATRICES
from jobs.train.model import parameter_counts, weight_bytes
from sftjobs.advice.memory import Training, parts
from sftjobs.advice.shape import TWO_MATRICES, ModelShape
from tests.support.memory_case import Case, need, trainer_of
from tests.support.slow import mostly_slow
from tests.support.tensor_memory import peak_tensor_bytes

LLAMA = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "vocab_size": 2000,
}
LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
QWEN2 = {"model_type": "qwen2", "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 3}
QWEN2 |= {"vocab_size": 8000, "num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": False}
QWEN3 = {"model_type": "qwen3", "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 8, "head_dim": 48}
QWEN3 |= {"vocab_size": 500, "num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": False}


CASES = [
    Case(LLAMA, "full", "float32", 4, 32, 8),  # most at the end of the backward pass
    Case(LLAMA, "full", "float32", 16, 128, 8),  # most at its start
    Case(LLAMA, "full", "bfloat16", 8, 128, 32),  # most in the loss
    Case(LLAMA, "lora", "float32", 8, 128, 32),
    Case(LLAMA, "lora", "bfloat16", 8, 128, 32),
    Case(LLAMA, "dora", "float32", 8, 128, 32),
    Case(QWEN2, "full", "float32", 8, 64, 32),
    Case(QWEN2, "full", "float32", 4, 64, 8, micro_batches=3),
    Case(QWEN2, "full", "bfloat16", 8, 64, 8),
    Case(QWEN2, "lora", "float32", 4, 64, 64),
    Case(QWEN2, "rslora", "bfloat16", 4, 64, 64, lora={"rank": 64}),
    Case(QWEN3, "full", "float32", 8, 64, 4),
    Case(QWEN3, "lora_plus", "float32", 8, 128, 4, lora={"target": "attention"}),
    Case(QWEN3, "lora", "float32", 8, 128, 4, lora={"dropout": 0.1}),
    Case(QWEN3, "dora", "bfloat16", 8, 64, 4, micro_batches=2),
    Case(LLAMA, "periodic_lora", "float32", 8, 128, 32),
    Case(LLAMA, "periodic_lora", "bfloat16", 8, 128, 32),
    Case(QWEN2, "periodic_lora", "bfloat16", 4, 64, 8),  # weights and their rounded copies are most of it
    Case(LLAMA, "qlora", "float32", 8, 128, 32),
    Case(QWEN2, "qlora", "float32", 4, 64, 8),  # embeddings and head are most of it
    Case(QWEN2, "qlora", "bfloat16", 2, 16, 8),  # the largest matrix, dequantised, is a part of it
    Case(LLAMA, "full", "float32", 16, 128, 8, checkpointing=True),
    Case(LLAMA, "full", "bfloat16", 16, 128, 8, checkpointing=True),
    Case(QWEN3, "lora", "float32", 8, 128, 4, checkpointing=True),
    Case(QWEN3, "lora", "bfloat16", 8, 128, 4, checkpointing=True),
    Case(QWEN2, "full", "float32", 8, 256, 4, checkpointing=True),
]


def estimated(case: Case) -> Training:
    """With the probabilities that plain products keep, where this processor has them."""
    found = need(case)
    if case.precision == "float32" or not bfloat16_attention.usable():
        return found
    shape = ModelShape.of(case.model)
    kept = bfloat16_attention.BYTES * case.rows * case.length**2 * shape.heads * shape.layers
    return Training(**{**vars(found), "scores": kept})


@pytest.fixture(scope="module", autouse=True)
def caches_are_filled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first training of a process leaves some allocations behind that are not its own."""
    trainer = trainer_of(Case(LLAMA, "lora", "float32", 2, 16, 4), tmp_path_factory.mktemp("first"))
    peak_tensor_bytes(trainer.train)


@pytest.mark.parametrize(
    "case",
    mostly_slow(CASES, *(CASES[number] for number in (1, 4, 5, 10, 12, 15, 19, 22))),
    ids=lambda case: (
        f"{case.model['model_type']}-{case.method}-{case.precision}-{case.rows}x{case.length}"
        + ("-checkpointing" if case.checkpointing else "")
    ),
)
def test_the_estimate_is_within_10_percent_of_the_peak(case: Case, tmp_path: Path) -> None:
    if case.method == "qlora":
        pytest.importorskip("bitsandbytes")
    trainer = trainer_of(case, tmp_path)
    found = estimated(case)
    assert trainer.model is not None
    assert found.trainable == pytest.approx(parameter_counts(trainer.model)[0], rel=2e-3), "biases are not counted"
    weights = weight_bytes(trainer.model)
    assert found.weights == pytest.approx(weights, rel=2e-3)
    measured = weights + peak_tensor_bytes(trainer.train)
    total = sum(parts(found).values())
    print(f"estimated {total / 2**20:.1f} MiB, measured {measured / 2**20:.1f} MiB: {total / measured - 1:+.1%}")
    assert total == pytest.approx(measured, rel=0.1)


def test_the_same_models_have_two_matrices() -> None:
    assert TWO_MATRICES == _TWO_MATRICES
