"""The decisions about training that need the data's counts: method, learning rate, batch, steps. Pure."""

import math
from typing import Any, cast

from sftjobs.advice import choices
from sftjobs.plan.arithmetic import optimizer_steps
from sftjobs.plan.configs import (
    DataCounts,
    DevConfig,
    LoraConfig,
    MetricConfig,
    MixtureConfig,
    PromptLearningConfig,
    TrainConfig,
    ZeroConfig,
)
from sftjobs.plan.decide_gpu import for_gpu
from sftjobs.plan.sampler import GENERAL, Mixture
from sftjobs.plan.types import Resources
from sftjobs.spec.train import LORA_FAMILY, PROMPT_LEARNING, MethodName

RATE_OF_NETWORK = 1e-3
"""Of a network that makes virtual tokens (docs/methods.md has what was measured)."""
LEARNING_RATE: dict[MethodName, float] = {
    "lora": 5e-4,
    "rslora": 2e-4,
    "dora": 5e-4,
    "lora_plus": 1e-4,
    "periodic_lora": 5e-4,
    "qlora": 5e-4,
    "prompt_tuning": 1e-2,
    "p_tuning": RATE_OF_NETWORK,
    "prefix_tuning": 1e-2,
    "full": 2e-5,
}
LEARNING_RATE_RATIO = 16.0
"""Of LoRA+: the general advice of its authors (Hayou et al., arXiv 2402.12354)."""
CYCLES = 4
"""Of PeriodicLoRA; a last part of a training as short as a quarter still learns."""
MICRO_BATCH_CPU = 16
MICRO_BATCH_GPU = 8
TOKENS_PER_MICRO_BATCH = 4096
"""Of the longest examples: bounds the memory of a forward pass."""
DEV_LOOKS = 10
SPARE_TOKENS = 8
"""Generation for answers of known length may go on for so many tokens more than the longest one."""

Reasons = dict[str, str]


def decide_train(config: dict[str, Any], resources: Resources, counts: DataCounts) -> tuple[TrainConfig, Reasons, str]:
    """Finished config, the reason for each `auto`, and the printed arithmetic.

    `config`: `TrainSpec` without operational fields, plus mixture (a MixtureConfig), max_tokens and seed.
    """
    reasons: Reasons = {}
    mixture = MixtureConfig.model_validate(config["mixture"])
    examples_of = {name: task.examples for name, task in counts.tasks.items()}
    total = sum(size for name, size in examples_of.items() if name in mixture.epochs or name in mixture.extra)
    method = _method(config["method"], total, reasons)
    rate = config["learning_rate"]
    if rate == "auto":
        rate, what = LEARNING_RATE[method], f"{method}"
        if method == "prefix_tuning" and config["prompt_learning"]["encoder"]:
            rate, what = RATE_OF_NETWORK, f"{method} with an encoder"
        reasons["learning_rate"] = f"{rate:g} is where {what} usually works; see docs/methods.md"
    micro, accumulation = _batch(config, resources, counts, total, reasons)
    draws = Mixture.of(mixture).draws(examples_of)
    sizes = [sum(drawn.values()) for drawn in draws]
    global_batch = micro * accumulation * resources.world_size
    all_steps = optimizer_steps(sizes, global_batch)
    steps = all_steps if config["max_steps"] is None else min(all_steps, config["max_steps"])
    _on_general(mixture, examples_of.get(GENERAL, 0), draws, reasons)
    decided = TrainConfig(
        method=method,
        lora=_lora(config["lora"], method, steps) if method in LORA_FAMILY else None,
        prompt_learning=_prompt_learning(config["prompt_learning"], method) if method in PROMPT_LEARNING else None,
        learning_rate=rate,
        mixture=mixture,
        micro_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        world_size=resources.world_size,
        steps=steps,
        warmup_steps=_warmup_steps(steps, config["warmup"]),
        schedule=config["schedule"],
        weight_decay=config["weight_decay"],
        max_grad_norm=config["max_grad_norm"],
        precision=config["precision"],
        zero=ZeroConfig(**config["zero"]) if config["zero"]["stage"] else None,
        device=resources.device,
        threads_per_process=resources.threads_per_process,
        max_tokens=config["max_tokens"],
        group_by_length=_group_by_length(config["group_by_length"], counts, reasons),
        dev=_dev(config.get("dev"), steps, counts, reasons),
        keep=_keep(config["keep"], counts, reasons),
        seed=config["seed"],
    )
    decided = for_gpu(decided, config, resources, counts, reasons)
    return decided, reasons, _summary(decided, resources, counts, draws, all_steps)


Draws = list[dict[str, int]]
"""For each epoch: task -> draws."""


def _on_general(mixture: MixtureConfig, general: int, draws: Draws, reasons: Reasons) -> None:
    """Say so if there are fewer general examples than the ratio asks for; the first epoch holds every task."""
    ratio = mixture.general_ratio
    if ratio is None or not draws:
        return
    drawn = draws[0][GENERAL]
    domain = sum(draws[0].values()) - drawn
    if drawn < math.floor(ratio * domain + 0.5):
        reasons["general.ratio"] = (
            f"{drawn:,} general examples in the first epoch instead of {ratio:g} x {domain:,}: "
            f"there are {general:,}, each used at most {mixture.general_max_repeats} times per epoch"
        )


def _warmup_steps(steps: int, share: float) -> int:
    """The rate rises from 0, so the first step of a warm-up changes nothing: it must never be the only step."""
    return max(0, min(math.ceil(steps * share), steps - 1))


def _method(wanted: Any, examples: int, reasons: Reasons) -> MethodName:
    if wanted != "auto":
        return cast(MethodName, wanted)
    method, reason, source = choices.method(examples)
    reasons["method"] = f"{reason} ({source})"
    return method


def _lora(wanted: dict[str, Any], method: MethodName, steps: int) -> LoraConfig:
    cycles = min(wanted["cycles"] or CYCLES, max(1, steps)) if method == "periodic_lora" else None
    ratio = (wanted["learning_rate_ratio"] or LEARNING_RATE_RATIO) if method == "lora_plus" else None
    return LoraConfig(**{**wanted, "learning_rate_ratio": ratio, "cycles": cycles})


def _prompt_learning(wanted: dict[str, Any], method: MethodName) -> PromptLearningConfig:
    encoder = wanted["encoder"] or ("mlp" if method == "p_tuning" else None)
    return PromptLearningConfig(**{**wanted, "encoder": encoder})


def _batch(
    config: dict[str, Any], resources: Resources, counts: DataCounts, examples: int, reasons: Reasons
) -> tuple[int, int]:
    """Micro batch size and accumulation."""
    world = resources.world_size
    wanted_global, wanted_micro = config["global_batch_size"], config["micro_batch_size"]
    before = config["prompt_learning"]["virtual_tokens"] if config["method"] in PROMPT_LEARNING else None
    default_micro = _largest_micro_batch(resources, counts, before)
    if wanted_global == "auto" and wanted_micro == "auto":
        target = max(world, choices.global_batch(examples))
        micro = max(1, min(choices.power_of_two(default_micro), target // world))
        accumulation = max(1, target // (micro * world))
        batch = micro * accumulation * world
        reasons["global_batch_size"] = f"{batch} for {examples:,} examples: the power of two below the square root"
        return micro, accumulation
    if wanted_global == "auto":
        reasons["global_batch_size"] = "micro batch size x world size, no accumulation"
        return wanted_micro, 1
    per_rank = max(1, wanted_global // world)
    if wanted_micro == "auto":
        micro = max(size for size in range(1, min(default_micro, per_rank) + 1) if per_rank % size == 0)
        reasons["micro_batch_size"] = f"largest divisor of {per_rank} examples per rank up to {default_micro}"
        return micro, per_rank // micro
    return wanted_micro, max(1, wanted_global // (wanted_micro * world))


def _largest_micro_batch(resources: Resources, counts: DataCounts, virtual_tokens: int | None) -> int:
    """Examples of about TOKENS_PER_MICRO_BATCH tokens; a prompt that all begin with counts once.

    With virtual tokens each example is a row of its own, longer by them.
    """
    most = MICRO_BATCH_GPU if resources.gpus_per_node else MICRO_BATCH_CPU
    if virtual_tokens is not None:
        return max(1, min(most, TOKENS_PER_MICRO_BATCH // max(1, counts.max_example_tokens + virtual_tokens)))
    rest = max(1, counts.max_example_tokens - counts.common_prefix_tokens)
    return max(1, min(most, (TOKENS_PER_MICRO_BATCH - counts.common_prefix_tokens) // rest))


def _group_by_length(wanted: Any, counts: DataCounts, reasons: Reasons) -> bool:
    if wanted != "auto":
        return bool(wanted)
    examples = sum(task.examples for task in counts.tasks.values())
    mean = sum(task.tokens for task in counts.tasks.values()) / max(1, examples)
    grouped = 2 * counts.common_prefix_tokens < mean
    reasons["group_by_length"] = (
        f"{counts.common_prefix_tokens:,} of {mean:,.0f} tokens, the mean of an example, are the same in all: "
        + ("batches of similar length have less padding" if grouped else "there is little to pad")
    )
    return grouped


def _dev(config: dict[str, Any] | None, steps: int, counts: DataCounts, reasons: Reasons) -> DevConfig | None:
    if config is None or not counts.dev:
        return None
    every = config["every_steps"]
    if every == "auto":
        every = max(1, -(-steps // DEV_LOOKS))
        reasons["dev.every_steps"] = f"{steps:,} steps in {DEV_LOOKS} parts"
    return DevConfig(
        every_steps=every,
        metric=MetricConfig(**config["metrics"][0]) if config["by"] == "metric" else None,
        max_new_tokens=max_new_tokens(config["max_new_tokens"], counts, {}),
        patience=config["patience"],
        max_examples=config["max_examples"],
    )


def _keep(wanted: str, counts: DataCounts, reasons: Reasons) -> Any:
    if wanted != "auto":
        return wanted
    reasons["keep"] = (
        f"there is a dev set of {counts.dev:,}" if counts.dev else "there is no dev set (data.dev_fraction)"
    )
    return "best" if counts.dev else "last"


def max_new_tokens(wanted: Any, counts: DataCounts, reasons: Reasons) -> int:
    """How long an answer may be."""
    if wanted != "auto":
        return int(wanted)
    longest = counts.longest_answer_tokens
    reasons["max_new_tokens"] = f"longest expected answer ({longest}) + {SPARE_TOKENS}"
    return longest + SPARE_TOKENS


def _summary(config: TrainConfig, resources: Resources, counts: DataCounts, draws: Draws, all_steps: int) -> str:
    epochs = f"{len(draws)} epoch{'s' if len(draws) != 1 else ''}"
    parts = [
        f"world {resources.nodes}x{resources.processes_per_node}",
        f"micro batch {config.micro_batch_size}",
        f"accumulation {config.gradient_accumulation_steps}",
        f"global batch {config.global_batch}",
        f"{config.steps:,} step{'s' if config.steps != 1 else ''}",
        epochs if config.steps == all_steps else f"max_steps ends {epochs} of {all_steps:,} steps early",
        f"{_supervised(config, counts, draws, all_steps)} supervised tokens",
    ]
    return " | ".join(parts)


def _supervised(config: TrainConfig, counts: DataCounts, draws: Draws, all_steps: int) -> str:
    """Tokens with loss over all steps; `~` where it depends on which examples are drawn or come before `max_steps`."""
    tokens, exact = 0.0, config.steps == all_steps
    for drawn in draws:
        for task, number in drawn.items():
            known = counts.tasks.get(task)
            if known is None or not known.examples:
                continue
            passes, rest = divmod(number, known.examples)
            tokens += known.supervised_tokens * passes + known.supervised_tokens / known.examples * rest
            exact = exact and not rest
    return f"{round(tokens):,}" if exact else f"~{round(tokens * config.steps / all_steps):,}"
