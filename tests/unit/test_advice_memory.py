"""The memory formula beside published figures of GPUs; tests/stage/test_memory_estimate.py measures it on a CPU."""

from dataclasses import replace

import pytest

from sftjobs.advice.memory import Training, host, parts, states, total
from sftjobs.advice.need import Setup, training
from sftjobs.advice.shape import ModelShape

LLAMA_7B = ModelShape(32, 4096, 32, 32, 128, 11008, 32000, tied=False)
LLAMA_65B = ModelShape(80, 8192, 64, 64, 128, 22016, 32000, tied=False)
GPT3 = ModelShape(96, 12288, 96, 96, 128, 49152, 50257, tied=True, gated=False)
GIB = 2**30


def full(shape: ModelShape = LLAMA_7B, rows: int = 0, **more: object) -> Training:
    """Full tuning in DeepSpeed's bf16 mode on GPUs, rows of 4,096 tokens that all have loss."""
    setup = Setup("full", "bfloat16", encoded=4096 * rows, scored=4096 * rows, gpu=True, mixed=True)
    return training(shape, replace(setup, **more))  # type: ignore[arg-type]


def test_parameters_of_known_models() -> None:
    assert LLAMA_7B.parameters == 6_738_415_616
    assert LLAMA_65B.parameters == pytest.approx(65.2e9, rel=0.005)
    assert GPT3.parameters == pytest.approx(175e9, rel=0.005)


def test_sixteen_bytes_for_each_trained_parameter() -> None:
    """112 GB for 7 billion (BELLE, arXiv 2304.08109, and every table since), before activations."""
    assert sum(states(full()).values()) == 16 * LLAMA_7B.parameters
    assert sum(states(full()).values()) == pytest.approx(112e9, rel=0.05)
    assert sum(states(full(mixed=False)).values()) == 16 * LLAMA_7B.parameters, "float32 and two moments"


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_what_zero_divides(stage: int, gigabytes: float) -> None:
    """Figure 1 of Rajbhandari et al. (arXiv 1910.02054): 7.5 billion parameters on 64 GPUs."""
    case = replace(full(), weights=15_000_000_000, trainable=7_500_000_000, ranks=64, stage=stage)
    assert sum(states(case).values()) / 1e9 == pytest.approx(gigabytes, abs=0.05)


# ZeRO stage, checkpointing, offload, rows per GPU, torch.cuda.max_memory_allocated() in GB, how far the estimate may be
# off. LLaMA-7B, 8 x A800, rows of 4,096 tokens, DeepSpeed 0.14.2;
# gist.github.com/chenyaofo/d4cd6a20ab4b95cb3a49491747e2139a. Its loss has all logits in float32 at a time, so these
# estimates have them as well.
MEASURED = [
    (2, False, "none", 1, 44.8, 0.15),
    (2, True, "none", 1, 23.5, 0.15),
    (2, True, "optimizer", 1, 16.9, 0.15),
    (2, True, "none", 4, 38.6, 0.15),
    (3, False, "none", 2, 75.7, 0.20),  # half as much again for each row as with ZeRO 2, which nothing here explains
    (3, True, "none", 2, 20.4, 0.15),
    (3, True, "optimizer", 2, 9.4, 0.15),
    (3, True, "none", 8, 39.1, 0.15),
]


@pytest.mark.parametrize(("stage", "again", "offload", "rows", "gigabytes", "off"), MEASURED)
def test_peaks_of_llama_7b_on_gpus(
    stage: int, again: bool, offload: str, rows: int, gigabytes: float, off: float
) -> None:
    case = full(rows=rows, ranks=8, stage=stage, offload=offload, checkpointing=again)
    case = replace(case, bucket=500_000_000, chunk=2**40)
    print(f"ZeRO {stage}, {rows} rows: estimated {total(case) / GIB:.1f}, measured {gigabytes}")
    assert total(case) / GIB == pytest.approx(gigabytes, rel=off)


def test_65_billion_in_4_bits_on_48_gigabytes() -> None:
    """Dettmers et al. (arXiv 2305.14314): rank 64, one row of 512 tokens, checkpointing; paged moments may move out."""
    setup = Setup("qlora", "bfloat16", encoded=512, scored=512, rank=64, gpu=True, checkpointing=True)
    found = parts(training(LLAMA_65B, setup))
    assert 40e9 < sum(found.values()) - found["optimizer"] < 48e9
    assert sum(states(training(LLAMA_65B, replace(setup, method="lora"))).values()) > 130e9, "16 bits need three GPUs"


def test_gpt_3_with_lora_is_its_weights() -> None:
    """350 GB (Hu et al., arXiv 2106.09685, section 4.2), rank 4 on queries and values: less than half of its target."""
    found = states(training(GPT3, Setup("lora", "bfloat16", rank=4, target="attention")))
    assert sum(found.values()) == pytest.approx(350e9, rel=0.01)


def test_zero_with_float32_weights() -> None:
    """Stages 1 and 2 have a float32 copy of the part that a rank updates; in stage 3 that part is the weights."""
    each = {stage: states(full(mixed=False, ranks=8, stage=stage)) for stage in (1, 2, 3)}
    sizes = {stage: sum(found.values()) / LLAMA_7B.parameters for stage, found in each.items()}
    assert sizes == pytest.approx({1: 4 + 4 + 12 / 8, 2: 4 + (4 + 12) / 8, 3: 16 / 8})


def test_the_largest_moment_counts() -> None:
    """With few tokens gradients are the peak, with many activations; never both in full."""
    few, many = full(mixed=False), full(rows=8, mixed=False)
    assert parts(few)["gradients"] >= 4 * LLAMA_7B.parameters and parts(few)["logits"] == 0
    assert parts(many)["gradients"] < 4 * LLAMA_7B.parameters
    assert parts(replace(many, accumulated=True))["gradients"] >= 4 * LLAMA_7B.parameters


def test_offloading_moves_to_the_host() -> None:
    case = full(ranks=8, stage=3)
    for offload, moved in (("optimizer", 14), ("parameters", 16)):
        out = replace(case, offload=offload)
        assert host(out) == pytest.approx(moved * LLAMA_7B.parameters / 8, rel=1e-6)
        assert total(out) < total(case)
    assert host(case) == 0


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        ("lora", 32 * 16 * (4 * 8192 + 3 * (4096 + 11008))),
        ("dora", 32 * (16 * (4 * 8192 + 3 * (4096 + 11008)) + 4 * 4096 + 2 * 11008 + 4096)),
        ("prompt_tuning", 20 * 4096),
        ("p_tuning", 20 * 4096 + 3 * (4096 * 4096 + 4096)),
        ("prefix_tuning", 20 * 32 * 2 * 4096),
    ],
)
def test_what_methods_train(method: str, numbers: int) -> None:
    assert training(LLAMA_7B, Setup(method)).trainable == numbers


def test_a_config_json_is_read() -> None:
    gpt2 = ModelShape.of({"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257})
    assert (gpt2.tied, gpt2.gated, gpt2.inner, gpt2.kv_width) == (True, False, 3072, 768)
    nested = ModelShape.of({"text_config": {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2,
                                            "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 9}})  # fmt: skip
    assert (nested.query_width, nested.kv_width, nested.tied) == (32, 16, False)
    with pytest.raises(ValueError, match=r"config\.json has no num_hidden_layers"):
        ModelShape.of({"hidden_size": 8})


def test_parameters_of_experts_are_not_guessed() -> None:
    sizes = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9}
    shape = ModelShape.of({**sizes, "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 16})
    assert shape.inner == 32, "a token goes through two of them"
    with pytest.raises(ValueError, match="mixture of 4 experts"):
        _ = shape.parameters
