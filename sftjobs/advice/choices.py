"""Rules of thumb for method, epochs and precision, each with what speaks against it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sftjobs.advice.gpus import Gpu

FULL_FROM_EXAMPLES = 1_000_000
THOUSANDS = 10_000
"""Below this there are "thousands" of examples, from here on "tens of thousands"."""
FEW_EXAMPLES = 10_000
MAX_BATCH = 256

SCALING = "Zhang et al. 2024, arXiv 2402.17193"
BELLE = "BELLE, arXiv 2304.08109"


@dataclass(frozen=True)
class Advice:
    """One piece of advice: never a condition."""

    topic: str
    value: str
    """As run.yaml or a person would write it."""
    reason: str
    source: str


def method(examples: int) -> tuple[Literal["lora", "full"], str, str]:
    """What to train with so many examples, the reason with both sides, and the sources.

    The classic rule is P-tuning for thousands, LoRA for tens of thousands, full tuning for a million; its authors found
    the best method to depend on task and data. LoRA when in doubt.
    """
    seen = f"{examples:,} training examples"
    if examples >= FULL_FROM_EXAMPLES:
        reason = (
            f"{seen}: full tuning pays from about a million, most of all on a raw base model (0.710 against 0.609 with "
            "two million); on one that follows instructions already, lora was as good (0.729 against 0.738) in half "
            "the time: try it if full is too dear"
        )
        return "full", reason, f"{SCALING}; against: {BELLE}"
    if examples >= THOUSANDS:
        reason = (
            f"{seen}: the rule for tens of thousands is lora; full tuning pays from about a million, and on a raw base "
            "model was better with 600,000 already (0.686 against 0.589)"
        )
        return "lora", reason, f"{SCALING}; against: {BELLE}"
    reason = (
        f"{seen}: the rule for thousands is p_tuning, which trains less; lora learns from so few as well, is more "
        "stable and becomes part of the model, so it is the choice in doubt; full tuning pays from about a million"
    )
    return "lora", reason, SCALING


def global_batch(examples: int) -> int:
    """Examples of an optimizer step: the power of two below the square root balances the number of steps and noise."""
    return min(MAX_BATCH, power_of_two(math.isqrt(max(1, examples))))


def batch_beyond_epoch(batch: int, epoch: int, ranks: int, named: Sequence[str]) -> tuple[str, str] | None:
    """What to change, and why, if a batch is larger than the largest epoch; None if it is not.

    `named`: fields of `train` by which run.yaml sets the size of the batch.
    """
    if not 0 < epoch < batch:
        return None
    most = global_batch(epoch)
    ways = [f"use at most {most:,} rank{'s' if most != 1 else ''} (resources.train)"] if ranks > most else []
    ways += [f"leave {' and '.join(f'train.{name}' for name in named)} auto"] if named else []
    ways = ways or [f"set train.global_batch_size: {most // ranks * ranks}"]
    reason = f"one step per epoch: the global batch of {batch:,} is more than an epoch's {_examples(epoch)}"
    if ranks > epoch:
        reason += f"; {ranks - epoch:,} of {ranks:,} ranks have nothing to do"
    return f"make the global batch smaller: {', and '.join(ways)}", reason


def _examples(number: int) -> str:
    return f"{number:,} example{'s' if number != 1 else ''}"


def power_of_two(number: int) -> int:
    """The largest power of two that is not above `number`."""
    return 1 << (max(1, number).bit_length() - 1)


def epochs(examples: int) -> Advice:
    """How often to see each example: published recipes have two or three."""
    if examples < FEW_EXAMPLES:
        reason = "small sets are seen three times; with a dev set, train.keep: best takes the step that was best"
        return Advice("train.epochs", "3", reason, "Alpaca, Cherry LLM, WizardLM: 3; against: LIMA: 15 with 1,000")
    source = "Llama 2 (27,540 examples): 2; Qwen2.5 (1 M): 2"
    return Advice("train.epochs", "2", "two are enough with this many", source)


def precision(gpu: Gpu | None) -> Advice:
    """Number format of the arithmetic."""
    topic = "train.precision"
    if gpu is None:
        reason = "on a CPU bfloat16 is faster only where the processor has instructions for it (avx512_bf16, amx)"
        return Advice(topic, "float32", reason, "docs/performance.md")
    if not gpu.bfloat16:
        reason = f"{gpu.name} has no bfloat16, and float16 overflows"
        return Advice(topic, "float32", reason, "data sheet; QLoRA, arXiv 2305.14314")
    reason = "sixteen times the speed of float32 products; what is trained stays float32"
    return Advice(topic, "bfloat16", reason, "data sheets; docs/train.md")


def examples_per_task(task: str, examples: int, labels: int) -> Advice | None:
    """A few hundred good examples of a task are often enough; more of the same add little."""
    if examples <= 1000 or labels > 10:
        return None
    reason = (
        f"task {task!r} has {examples:,}: up to about 1,000 varied ones of a task, with cases near the border and hard "
        "ones, usually teach it; general ability was full after about 1,000, mathematics and code went on growing"
    )
    return Advice("data.tasks", "max_examples: 1000", reason, "LIMA, arXiv 2305.11206; Dong et al., 2310.05492")
