"""The plain loop of peft's examples as a side of the benches of training. See train_sides.

As in its examples of causal language models: the model of transformers, `get_peft_model`, a DataLoader that shuffles
and pads each batch to its longest row, AdamW, a linear schedule, `model(**batch).loss`. AdamW is fused, as on the other
sides; for full tuning it is the same loop without `get_peft_model`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    get_linear_schedule_with_warmup,
)

from tests.bench.train_sides import LEARNING_RATE, LORA, Job, read_rows, serve, start_adapter, timed


def make(job: Job, how: str) -> Callable[[dict[str, Any]], Any]:
    """Answers `epoch` and `check`, each with the losses of all steps; `how` says nothing."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job.folder)
    ids, labels = read_rows(job)
    rows = [{"input_ids": row, "labels": targets} for row, targets in zip(ids, labels, strict=True)]
    collate = DataCollatorForSeq2Seq(tokenizer)

    def answer(request: dict[str, Any]) -> Any:
        torch.manual_seed(request.get("seed", 0))
        model = _open(job)
        forced = request.get("batches")
        if forced:
            start_adapter(model, job.adapter)
        loader: Iterable[Any] = (
            DataLoader(rows, batch_sampler=forced, collate_fn=collate)  # type: ignore[arg-type]
            if forced
            else DataLoader(rows, batch_size=job.batch, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
        )
        losses: list[float] = []
        seconds = timed(lambda: _train(model, loader, job, losses))
        return seconds | {"losses": losses, "steps": len(losses)}

    return answer


def _open(job: Job) -> Any:
    if job.method == "full":
        return AutoModelForCausalLM.from_pretrained(job.folder, dtype=torch.float32)
    dtype = torch.bfloat16 if job.bfloat16 else torch.float32
    if job.method == "qlora":
        settings = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
        model = AutoModelForCausalLM.from_pretrained(
            job.folder, quantization_config=settings, device_map={"": "cpu"}, dtype=dtype
        )
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    else:
        model = AutoModelForCausalLM.from_pretrained(job.folder, dtype=torch.float32)
    return get_peft_model(model, LoraConfig(**LORA))


def _train(model: Any, loader: Any, job: Job, losses: list[float]) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=0, num_training_steps=len(loader))
    model.train()
    for batch in loader:
        with torch.autocast("cpu", torch.bfloat16, enabled=job.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())


if __name__ == "__main__":
    serve(make, ("torch", "transformers", "peft"))
