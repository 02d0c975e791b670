"""Step for step the loss of the stock `transformers.Trainer` on the same batches, whatever the layout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from jobs.lm.prefix import Layouts
from jobs.lm.render import Renderer, load_tokenizer
from jobs.train.__main__ import training_order
from jobs.train.arguments import training_arguments
from jobs.train.determinism import make_repeatable
from jobs.train.examples import TrainingSet, read_training_set
from jobs.train.methods import TrainedModel
from jobs.train.model import open_for_training
from jobs.train.steps import Steps
from jobs.train.trainer import SftTrainer
from sftjobs.plan.configs import TrainConfig
from tests.support.slow import mostly_slow
from tests.support.training import padded, train_config, training_data

EXAMPLES = 100


@pytest.fixture(scope="module")
def examples(base: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    data = training_data(tmp_path_factory.mktemp("data"), examples=EXAMPLES)
    return read_training_set(data / "train.jsonl", Renderer(load_tokenizer(base)), 512)


def fifty_steps(method: str, **changes: Any) -> TrainConfig:
    """Two epochs in batches of 4."""
    config = train_config(method, examples=EXAMPLES, weight_decay=0.1, warmup_steps=5, **changes)
    assert config.steps == 50
    return config


def opened(base: Path, config: TrainConfig) -> TrainedModel:
    make_repeatable(config.seed, config.threads_per_process)
    return open_for_training(base, config)


def our_losses(base: Path, examples: TrainingSet, config: TrainConfig, scratch: Path) -> tuple[list[float], set[str]]:
    """Loss of each step, and the layouts that were used."""
    model = opened(base, config)
    layouts = Layouts(model.config, 0, config.packing)
    steps = Steps(examples, training_order(config, examples), layouts, config, 0, 0)
    losses: list[float] = []
    used: set[str] = set()

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            losses.append(trainer.step_loss)
            assert trainer.step is not None
            used.update(
                f"{micro.batch.layout} {'shared' if micro.batch.shared else ''}".strip()
                for micro in trainer.step.micro_batches
            )

    trainer = SftTrainer(model, training_arguments(config, scratch), steps, first=0)
    trainer.add_callback(Watch())
    trainer.train()
    return losses, used


def stock_losses(base: Path, examples: TrainingSet, config: TrainConfig, scratch: Path) -> list[float]:
    """Padded rows with labels of -100, logits at every position, and the Trainer's own loss and accumulation."""
    order = training_order(config, examples)
    rows = [index for step in range(config.steps) for index in order.batch(step)]
    losses: list[float] = []

    class Sequential(Trainer):
        def _get_train_sampler(self, train_dataset: object = None) -> torch.utils.data.Sampler[int]:
            return torch.utils.data.SequentialSampler(rows)

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs is not None and "loss" in logs:
                losses.append(logs["loss"])

    def collate(indices: list[int]) -> dict[str, torch.Tensor]:
        return padded(examples, indices)

    arguments = TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        max_steps=config.steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        bf16=config.precision == "bfloat16",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
    )
    model = opened(base, config)
    Sequential(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[Watch()]).train()
    return losses


@pytest.mark.parametrize("method", mostly_slow(["full", "lora"], "lora"))
def test_every_step_has_the_loss_of_the_stock_trainer(
    method: str, base: Path, examples: TrainingSet, tmp_path: Path
) -> None:
    config = fifty_steps(method)
    stock = stock_losses(base, examples, config, tmp_path)
    assert len(stock) == 50 and stock[-1] < stock[0]
    for changes, layout in (
        ({}, {"rows shared"}),
        ({"packing": True}, {"packed"}),
        ({"micro_batch_size": 2, "gradient_accumulation_steps": 2}, {"rows shared"}),
        ({"micro_batch_size": 1, "gradient_accumulation_steps": 4}, {"padded"}),
    ):
        found, used = our_losses(base, examples, config.model_copy(update=changes), tmp_path)
        assert used == layout
        assert found == pytest.approx(stock, rel=1e-5)


@pytest.mark.parametrize("method", mostly_slow(["full", "lora"], "full"))
def test_batches_by_length_and_accumulation_of_the_stock_trainer(
    method: str, base: Path, examples: TrainingSet, tmp_path: Path
) -> None:
    config = fifty_steps(method, group_by_length=True, micro_batch_size=2, gradient_accumulation_steps=2)
    stock = stock_losses(base, examples, config, tmp_path)
    found, _ = our_losses(base, examples, config, tmp_path)
    assert found == pytest.approx(stock, rel=1e-5)
    plain, _ = our_losses(base, examples, fifty_steps(method), tmp_path)
    assert found != pytest.approx(plain, rel=1e-3), "the batches are others"


def test_bfloat16_follows_float32(base: Path, examples: TrainingSet, tmp_path: Path) -> None:
    """Frozen weights in bfloat16 below an adapter: every layout, within the rounding of the format."""
    exact, _ = our_losses(base, examples, fifty_steps("lora"), tmp_path)
    for changes in ({}, {"packing": True}, {"micro_batch_size": 1, "gradient_accumulation_steps": 4}):
        found, _ = our_losses(base, examples, fifty_steps("lora", precision="bfloat16", **changes), tmp_path)
        assert found[:10] == pytest.approx(exact[:10], rel=1e-2)
        assert found[-1] == pytest.approx(exact[-1], rel=0.1)
