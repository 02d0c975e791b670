"""One training whose memory is measured: a random model of a given shape, trained on random tokens."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, PrinterCallback

from jobs.lm.layout import Sequences, padded_batch
from jobs.train.arguments import training_arguments
from jobs.train.computing import Computing
from jobs.train.methods import METHODS
from jobs.train.model import open_for_training
from jobs.train.steps import MicroBatch, Step
from jobs.train.trainer import SftTrainer
from sftjobs.advice.memory import Training
from sftjobs.advice.need import Setup, training
from sftjobs.advice.shape import ModelShape
from sftjobs.plan.configs import Device
from tests.support.training import ADAPTERS, LORA, train_config


@dataclass(frozen=True)
class Case:
    model: dict[str, Any]
    method: str
    precision: str
    rows: int
    length: int
    answer: int
    """Tokens with loss of each row."""
    micro_batches: int = 1
    lora: dict[str, Any] = field(default_factory=dict)
    checkpointing: bool = False


class Again(Dataset[Step]):
    """The same step twice: the optimizer's state exists from the first one's end on."""

    def __init__(self, step: Step, length: int) -> None:
        self.step = step
        self.examples = type("Examples", (), {"lengths": [length]})()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, number: int) -> Step:
        return self.step


def trainer_of(case: Case, folder: Path, device: Device = "cpu") -> SftTrainer:
    """A random model of that shape, about to be trained on random tokens."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**case.model)).save_pretrained(folder)
    adapter = LORA if case.method == "qlora" else ADAPTERS.get(case.method)
    lora = adapter and adapter.model_copy(update={"rank": 16, **case.lora})
    config = train_config(case.method, precision=case.precision, micro_batch_size=case.rows, lora=lora, device=device)
    config = config.model_copy(update={"steps": 2})
    model = open_for_training(folder, config)
    ids = torch.randint(3, case.model["vocab_size"], (case.rows, case.length)).tolist()
    labels = [[-100] * (case.length - case.answer) + row[-case.answer :] for row in ids]
    micro = MicroBatch(padded_batch(Sequences(ids, labels), 0), list(range(case.rows)), case.rows * case.length)
    step = Step(0, [micro] * case.micro_batches, case.rows * case.answer * case.micro_batches, 1)
    steps: Any = Again(step, case.length)
    optimizer = METHODS[config.method].optimizer(model, config)
    arguments = training_arguments(config, folder)
    trainer = SftTrainer(model, arguments, steps, 0, optimizer, computing=Computing(case.checkpointing))
    trainer.remove_callback(PrinterCallback)
    return trainer


def need(case: Case, gpu: bool = False) -> Training:
    """What the formula says, without attention scores."""
    tokens = {"encoded": case.rows * case.length, "scored": case.rows * case.answer}
    more = {"accumulated": case.micro_batches > 1, "checkpointing": case.checkpointing, **tokens, **case.lora}
    return training(ModelShape.of(case.model), Setup(case.method, case.precision, gpu=gpu, **more))
