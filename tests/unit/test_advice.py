"""Advice: its rules at their edges, placement on GPUs, time beside published speeds."""

from dataclasses import replace

import pytest

from sftjobs.advice import choices, sizes
from sftjobs.advice.advise import Data, Price, Run, advise, hours
from sftjobs.advice.cost import UTILISATION_RANGE, Work, operations
from sftjobs.advice.gpus import GPUS, find_gpu
from sftjobs.advice.need import NEVER_SHARED, Setup, with_batch
from sftjobs.advice.placing import Cluster, place
from sftjobs.advice.shape import ModelShape
from sftjobs.spec.zero_rules import NOT_SHARED

QWEN = sizes.PUBLISHED
LLAMA_8B = ModelShape(32, 4096, 32, 8, 128, 14336, 128_256, tied=False)
NODE = Cluster(GPUS["A100-80GB"], per_node=8, nodes=2)
CARD = Cluster(GPUS["RTX-4090"], per_node=1, nodes=1)
RUN = Run("lora", "bfloat16", micro_batch=8, global_batch=64, epochs=2.0, gpus=8, nodes=1, threads=16)


def said(data: Data, cluster: Cluster | None = NODE, size: str = "7B", **more: object) -> dict[str, choices.Advice]:
    rates = {"lora": 5e-4, "full": 2e-5, "qlora": 2e-4}
    return {row.topic: row for row in advise(QWEN[size], data, replace(RUN, rates=rates), cluster, **more)}  # type: ignore[arg-type]


def data(examples: int, tokens: int = 500) -> Data:
    return Data({"t": examples}, tokens=tokens, longest=2 * tokens, scored=100, labels=0)


@pytest.mark.parametrize(
    ("examples", "method", "words"),
    [
        (800, "lora", "the rule for thousands is p_tuning"),
        (9_999, "lora", "the rule for thousands is p_tuning"),
        (10_000, "lora", "600,000 already"),
        (999_999, "lora", "600,000 already"),
        (1_000_000, "full", "try it if full is too dear"),
    ],
)
def test_the_method_and_what_speaks_against_it(examples: int, method: str, words: str) -> None:
    found, reason, source = choices.method(examples)
    assert found == method
    assert reason.startswith(f"{examples:,} training examples: ") and words in reason
    assert "2402.17193" in source


def test_every_piece_of_advice_has_a_reason_and_a_source() -> None:
    for cluster in (NODE, CARD, None):
        for examples in (500, 50_000, 2_000_000):
            rows = advise(QWEN["7B"], data(examples), RUN, cluster, Price(2.0, "USD"))
            assert all(row.topic and row.value and row.reason and row.source for row in rows)


def test_full_tuning_that_does_not_fit_becomes_lora_or_qlora() -> None:
    assert said(data(2_000_000), NODE)["train.method"].value == "full"
    assert said(data(2_000_000), CARD)["train.method"].value == "lora", "the memory of the host comes last"
    small = said(data(2_000_000), CARD, size="14B")
    assert small["train.method"].value == "qlora"
    assert small["train.method"].reason.endswith("full does not fit on these GPUs")
    assert small["train.learning_rate"].value == "0.0002"


def test_a_model_that_is_too_large_is_said_to_be() -> None:
    found = said(data(500), CARD, size="72B")
    assert found["resources.train"].reason.startswith("NOT enough")
    assert found["model"].value != "up to 72B"


def test_the_micro_batch_shrinks_before_weights_leave_the_gpu() -> None:
    found = said(Data({"t": 5000}, tokens=1500, longest=2000, scored=100), Cluster(GPUS["L40S"], 1, 1))
    assert int(found["train.micro_batch_size"].value) < RUN.micro_batch
    assert found["train.zero"].value == "stage: 0"


def test_cost_is_gpus_times_hours_times_price() -> None:
    """It does not depend on how many GPUs share the work."""
    free, paid = said(data(50_000)), said(data(50_000), price=Price(1.8, "EUR"))
    assert "cost" not in free
    assert paid["cost"].value.endswith(" EUR")
    dearer = said(data(50_000), price=Price(3.6, "EUR"))
    assert float(dearer["cost"].value.split()[0]) == pytest.approx(2 * float(paid["cost"].value.split()[0]), abs=0.02)


def test_without_sizes_or_tokens_there_is_advice_all_the_same() -> None:
    for shape, known in ((None, data(500)), (QWEN["7B"], Data({"t": 500}))):
        topics = {row.topic for row in advise(shape, known, RUN, NODE)}
        assert "train.method" in topics and "memory per GPU" not in topics


def test_on_a_cpu() -> None:
    found = said(data(400), None, size="0.5B")
    assert found["train.precision"].value == "float32"
    assert "16 threads of 80 Gflop/s" in found["time"].reason


def test_more_gpus_than_a_batch_has_examples() -> None:
    rows = advise(QWEN["7B"], data(4000), replace(RUN, gpus=4096, nodes=512), NODE)
    found = next(row for row in rows if row.topic == "train.global_batch_size")
    assert found.value == "32" and found.reason.endswith("4,096 GPUs make it 4,096 at least, which leaves few steps: "
                                                         "use fewer GPUs")  # fmt: skip


@pytest.mark.parametrize(
    ("batch", "ranks", "named", "text", "idle"),
    [
        (160, 1, ["global_batch_size"], None, ""),
        (161, 1, ["global_batch_size"], "leave train.global_batch_size auto", ""),
        (100_000, 100_000, [], "use at most 8 ranks (resources.train)", "; 99,840 of 100,000 ranks have nothing to do"),
        (
            1_000, 10, ["global_batch_size", "micro_batch_size"],
            "use at most 8 ranks (resources.train), and leave train.global_batch_size and train.micro_batch_size auto",
            "",
        ),
        (256, 3, [], "set train.global_batch_size: 6", ""),
    ],
)  # fmt: skip
def test_a_batch_larger_than_an_epoch(batch: int, ranks: int, named: list[str], text: str | None, idle: str) -> None:
    found = choices.batch_beyond_epoch(batch, 160, ranks, named)
    if text is None:
        assert found is None
        return
    why = f"one step per epoch: the global batch of {batch:,} is more than an epoch's 160 examples{idle}"
    assert found == (f"make the global batch smaller: {text}", why)


def test_gpus_without_an_example_save_no_time_and_cost_all_the_same() -> None:
    busy = replace(RUN, rates={}, step=1)
    full, one = (
        {row.topic: row.value for row in advise(QWEN["7B"], data(2_000_000), run, NODE, Price(2.0, "USD"))}
        for run in (RUN, busy)
    )
    gpus = int(full["resources.train"].split()[0])
    assert gpus > 1
    assert (full["time"], one["time"]) == ("29.8 h", "10 days")
    assert float(one["cost"].split()[0].replace(",", "")) == pytest.approx(
        gpus * float(full["cost"].split()[0].replace(",", "")), rel=1e-3
    )


def test_many_examples_of_one_task() -> None:
    assert choices.examples_per_task("t", 1000, 0) is None
    assert choices.examples_per_task("t", 5000, labels=77) is None, "77 labels with 1,000 examples have 13 each"
    found = choices.examples_per_task("t", 5000, 2)
    assert found is not None and "mathematics and code went on growing" in found.reason


def test_lower_stages_come_first() -> None:
    setup = Setup("full", "bfloat16", encoded=1024, scored=1024)
    found = {size: place(QWEN[size], setup, NODE) for size in QWEN}
    assert (found["0.5B"].gpus, found["0.5B"].stage) == (1, 0)
    assert (found["7B"].gpus, found["7B"].stage) == (2, 1)
    assert (found["14B"].stage, found["14B"].nodes, found["14B"].host) == (3, 1, 0)
    assert found["32B"].nodes == 2 and found["32B"].offload == "none", "a second node before the memory of the host"
    assert found["72B"].fits and found["72B"].offload != "none" and found["72B"].host > 400 * 2**30


def test_what_check_refuses_is_never_advised() -> None:
    assert set(NEVER_SHARED) == set(NOT_SHARED)
    for method in NEVER_SHARED:
        found = place(QWEN["72B"], Setup(method, "bfloat16", encoded=4096, scored=4096), NODE)
        assert (found.stage, found.offload, found.fits) == (0, "none", False), method


@pytest.mark.parametrize(
    ("shape", "method", "published", "per_token"),
    [
        # NVIDIA NeMo AutoModel, performance summary: tokens per second and Tflop/s of one H100, rows of 4,096 tokens.
        (LLAMA_8B, "lora", 12_473, 402e12 / 12_473),
        (QWEN["7B"], "lora", 14_110, 423e12 / 14_110),
        # torchtitan, Llama 3.1 8B on 8 H100 with FSDP 2: 6 N and attention.
        (LLAMA_8B, "full", 5_762, None),
    ],
)
def test_operations_and_speeds_that_were_published(
    shape: ModelShape, method: str, published: int, per_token: float | None
) -> None:
    counted = operations(shape, Setup(method, "bfloat16"), Work(1.0, 1.0, 4096))
    if per_token is not None:
        assert counted == pytest.approx(per_token, rel=0.12)
    low, high = UTILISATION_RANGE
    reached = counted * published / (GPUS["H100"].teraflops * 1e12)
    print(f"{method}: {counted / 1e9:.1f} Gflop per token, {reached:.0%} of the peak")
    assert low < reached < high * 1.1


def test_a_common_prompt_goes_through_the_layers_once() -> None:
    setup = Setup("lora", "bfloat16")
    assert with_batch(setup, 8, longest=300, answer=5, prefix=250).encoded == 250 + 8 * 50
    assert with_batch(setup, 1, longest=300, answer=5, prefix=250).encoded == 300
    virtual = with_batch(replace(setup, method="prompt_tuning"), 8, longest=300, answer=5, prefix=250)
    assert virtual.encoded == 8 * 320, "virtual tokens come before the prompt"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("nvidia h100 80gb hbm3", "H100"),
        ("l40s", "L40S"),
        ("A100", None),  # of 40 or of 80 GB?
        ("MI300X", None),
    ],
)
def test_names_of_gpus(name: str, found: str | None) -> None:
    gpu = find_gpu(name)
    assert (gpu and gpu.name) == found


def test_hours() -> None:
    assert [hours(s) for s in (10, 600, 7200, 10 * 86_400)] == ["below 1 min", "10 min", "2.0 h", "10 days"]
