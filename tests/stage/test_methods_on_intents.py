"""Every method through data, train and eval programs on the data of examples/intent: what it learned is in the score.

The model is tiny and random, so that all methods take seconds; `make bench-methods` compares them with a real one.
"""

from pathlib import Path

import pytest
import torch

from jobs.data.__main__ import run as prepare
from jobs.eval.__main__ import run as evaluate
from jobs.lm.load import load_model
from jobs.train.__main__ import run as train
from jobs.train.export import ADAPTER, MODEL
from sftjobs.plan.configs import (
    DataConfig,
    DecodingConfig,
    EvalConfig,
    MetricConfig,
    PromptLearningConfig,
    SourceConfig,
)
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from sftjobs.spec.train import PROMPT_LEARNING, MethodName
from tests.support.program_runner import REPOSITORY, Outcome, run_here
from tests.support.tiny import tiny_model
from tests.support.training import VIRTUAL, WITH_MLP, train_config

# peft 0.21 asks transformers 5.23 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

INTENT = REPOSITORY / "examples" / "intent" / "data"
EXAMPLES, HELD_OUT = 385, 168
"""Five of 390 training messages are nearly like a held-out one."""
LABELS = (
    "balance", "bill_balance", "bill_due", "min_payment", "pay_bill", "credit_limit", "credit_limit_change",
    "card_declined", "account_blocked", "freeze_account", "report_fraud", "report_lost_card", "out_of_scope",
)  # fmt: skip
PROMPT = PromptSpec(
    input="Message: {{ text }}", labels=dict.fromkeys(LABELS, "a customer's wish"), output=OutputSpec(format="label")
)
LSTM = VIRTUAL.model_copy(update={"encoder": "lstm"})
CASES = [
    *(
        pytest.param(method, None, 1e-2, 0.85, id=method)
        for method in ("lora", "rslora", "dora", "lora_plus", "periodic_lora", "qlora")
    ),
    pytest.param("full", None, 3e-3, 0.6, id="full"),
    pytest.param("prompt_tuning", VIRTUAL, 1e-1, 0.97, id="prompt_tuning"),
    pytest.param("p_tuning", WITH_MLP, 1e-2, 0.97, id="p_tuning"),
    pytest.param("p_tuning", LSTM, 1e-2, 0.97, id="p_tuning-lstm"),
    pytest.param("prefix_tuning", VIRTUAL, 1e-1, 0.97, id="prefix_tuning"),
]
"""Method, virtual tokens, learning rate, and the share of the base model's held-out loss that may be left. Virtual
tokens can do little to a model that has learned nothing."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of small random numbers attention would look at all tokens alike, and no method could tell messages apart."""
    folder = tiny_model(tmp_path_factory.mktemp("base"), hidden=64)
    model = load_model(folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(4 if "embed" in name else 10)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the data stage leaves of the example's files."""
    config = DataConfig(
        prompt=PROMPT,
        max_tokens=300,
        seed=1,
        tasks={"intent": SourceConfig(input="task.intent", format="auto", output_column="label")},
        held_out=SourceConfig(input="held_out", format="auto", output_column="label"),
    )
    inputs = {"model": base, "task.intent": INTENT / "train.jsonl", "held_out": INTENT / "held_out.jsonl"}
    outcome = run_here(prepare, "jobs.data", config, inputs, tmp_path_factory.mktemp("data"))
    assert outcome.counts["tasks"]["intent"]["examples"] == EXAMPLES
    assert outcome.counts["held_out"] == HELD_OUT
    return outcome.content


@pytest.fixture(scope="module")
def base_loss(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    return scored({"model": base, "data": data}, tmp_path_factory.mktemp("eval")).counts["metrics"]["loss"]


def scored(inputs: dict[str, Path], work: Path) -> Outcome:
    config = EvalConfig(
        metrics=[MetricConfig(name="accuracy"), MetricConfig(name="loss")],
        decoding=DecodingConfig(max_new_tokens=24, seed=1),
        threads_per_process=1,
        seed=1,
    )
    return run_here(evaluate, "jobs.eval", config, inputs, work)


@pytest.mark.parametrize(("method", "settings", "rate", "left"), CASES)
def test_a_method_learns_from_real_messages(
    method: MethodName,
    settings: PromptLearningConfig | None,
    rate: float,
    left: float,
    base: Path,
    data: Path,
    base_loss: float,
    tmp_path: Path,
) -> None:
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    changes = {"epochs": 1.0, "micro_batch_size": 13, "learning_rate": rate, "prompt_learning": settings}
    config = train_config(method, EXAMPLES, **changes)
    trained = run_here(train, "jobs.train", config, {"model": base, "data": data}, tmp_path / "train")
    assert trained.counts["steps"] == 30
    adapter = {"adapter": trained.content / ADAPTER, "model": base}
    merged = {"model": trained.content / MODEL}
    tuned = scored({"data": data, **(adapter if method in PROMPT_LEARNING else merged)}, tmp_path / "eval")
    print(f"{method}: {base_loss:.2f} -> {tuned.counts['metrics']['loss']:.2f} nats per token")
    assert tuned.counts["examples"] == HELD_OUT
    assert tuned.counts["metrics"]["loss"] < left * base_loss
