"""The peers of the benches of training: `transformers.Trainer` and TRL's `SFTTrainer`. See train_sides.

The third argument says which, and how: trainer (grouped by length), trl-padded (grouped by length), trl-packed (bfd,
1,024 tokens a row). Gradient checkpointing is off, nothing is logged, no loader process: that is what is fastest here.
"""

from collections import defaultdict
from collections.abc import Callable
from tempfile import mkdtemp
from typing import Any

import datasets
import torch
import transformers
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging

from tests.bench.train_sides import LEARNING_RATE, LORA, Job, keep_gradients, read_rows, serve, start_adapter, timed

PACKED_LENGTH = 1024
PACKED_ROWS = 1
"""Rows of one step: two or more would be laid out as one row, whose attention is dense on a CPU."""


class Gradients(TrainerCallback):
    """Writes the gradients of the first step."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        if self._path is not None:
            keep_gradients(parts["model"], self._path)
            self._path = None


def make(job: Job, how: str) -> Callable[[dict[str, Any]], Any]:
    """Answers `epoch`, `check` (batches are ignored by trl-packed) and `members` (examples of each packed row)."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    datasets.disable_caching()
    transformers.utils.logging.captureWarnings(True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job.folder)
    ids, labels = read_rows(job)

    def answer(request: dict[str, Any]) -> Any:
        forced = request["do"] != "epoch"
        order = [index for batch in request.get("batches") or [] for index in batch] or range(len(ids))
        rows = Dataset.from_dict({"input_ids": [ids[i] for i in order], "labels": [labels[i] for i in order]})
        model = _open(job, job.adapter if forced else None)
        trainer = _trainer(how, model, tokenizer, rows, job, forced, request)
        if request["do"] == "members":
            return _members(trainer.train_dataset, ids)
        losses: list[torch.Tensor] = []
        if forced:
            step = trainer.training_step
            trainer.training_step = lambda *a, **k: losses.append(step(*a, **k)) or losses[-1]
            trainer.add_callback(Gradients(request.get("gradients")))
        seconds = timed(trainer.train)
        return seconds | {"losses": [float(loss) for loss in losses], "steps": trainer.state.global_step}

    return answer


def _open(job: Job, adapter: str | None) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(job.folder, dtype=torch.float32, attn_implementation="sdpa")
    if job.method == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(**LORA))
        start_adapter(model, adapter)
    return model


def _trainer(how: str, model: Any, tokenizer: Any, rows: Dataset, job: Job, forced: bool, request: Any) -> Any:
    common = {
        "output_dir": mkdtemp(),
        "num_train_epochs": 1,
        "per_device_train_batch_size": job.batch,
        "gradient_accumulation_steps": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1e9 if forced else 1.0,
        "optim": "adamw_torch_fused",
        "bf16": job.bfloat16,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential" if forced else "group_by_length",
        "seed": request.get("seed", 0),
        "max_steps": request.get("steps", -1),
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }
    if how == "trainer":
        collator = DataCollatorForSeq2Seq(tokenizer)
        return Trainer(model, TrainingArguments(**common), data_collator=collator, train_dataset=rows)
    from trl import SFTConfig, SFTTrainer

    if how == "trl-packed":
        common |= {"per_device_train_batch_size": PACKED_ROWS, "packing": True, "packing_strategy": "bfd"}
        common |= {"max_length": PACKED_LENGTH}
        if not forced:
            common["train_sampling_strategy"] = "random"
    else:
        common |= {"max_length": None}
    return SFTTrainer(model, SFTConfig(**common), train_dataset=rows, processing_class=tokenizer)


def _members(packed: Any, ids: list[list[int]]) -> list[list[int]]:
    """Numbers of the examples in each step of packed rows; raises KeyError if one was cut or changed."""
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(ids):
        places[tuple(row)].append(index)
    found: list[list[int]] = []
    for number, row in enumerate(packed):
        if number % PACKED_ROWS == 0:
            found.append([])
        start = 0
        for length in row["seq_lengths"]:
            found[-1].append(places[tuple(row["input_ids"][start : start + length])].pop())
            start += length
    return found


if __name__ == "__main__":
    serve(make, ("torch", "transformers", "trl", "peft", "accelerate", "datasets"))
