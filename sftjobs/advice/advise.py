"""All advice for one run: what to set, what it will need, how long it takes and what it costs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sftjobs.advice import choices, cost, sizes
from sftjobs.advice.choices import Advice
from sftjobs.advice.cost import Work
from sftjobs.advice.memory import parts
from sftjobs.advice.need import Setup, training, with_batch
from sftjobs.advice.placing import Cluster, Placement, place
from sftjobs.advice.shape import ModelShape

GIB = 2**30
_CHEAPER = ("qlora", "lora", "full")
"""In the order of what they need."""


@dataclass(frozen=True)
class Data:
    """The training data, after cleaning."""

    tasks: Mapping[str, int]
    """Task -> examples in an epoch."""
    tokens: int = 0
    """Mean of an example; 0: not known, because there is no tokenizer yet."""
    longest: int = 0
    """Tokens of the longest example."""
    scored: int = 0
    """Mean tokens with loss of an example."""
    prefix: int = 0
    """Tokens that all examples begin with."""
    labels: int = 0

    @property
    def examples(self) -> int:
        return sum(self.tasks.values())


@dataclass(frozen=True)
class Run:
    """What run.yaml decides, as the plan has it."""

    method: str
    precision: Literal["float32", "bfloat16"]
    micro_batch: int
    global_batch: int
    epochs: float
    """Passes over all examples, in the mean of the tasks."""
    gpus: int
    """On all nodes; 0: CPU."""
    nodes: int
    threads: int
    """CPU threads on all nodes, of ranks that have examples in a step."""
    ranks: int = 1
    """On all nodes; with GPUs as many as there are of these."""
    step: int = 0
    """Examples of the largest step: an epoch may have fewer than `global_batch`; 0: not known. A rank without one has
    nothing to do."""
    rank: int = 16
    target: Literal["all-linear", "attention"] = "all-linear"
    rates: Mapping[str, float] | None = None
    """Method -> learning rate that usually works."""


@dataclass(frozen=True)
class Price:
    """Of one GPU."""

    per_hour: float
    currency: str


def advise(
    shape: ModelShape | None, data: Data, run: Run, cluster: Cluster | None, price: Price | None = None
) -> list[Advice]:
    """Everything that can be said. Without `shape` nothing about memory and time; without `cluster`, of a CPU."""
    name: str
    name, why, source = choices.method(data.examples)
    precision = choices.precision(cluster.gpu if cluster else None)
    setup = Setup(name, _format(precision.value), rank=run.rank, target=run.target, gpu=cluster is not None)
    micro = run.micro_batch
    found: list[Advice] = []
    if shape is not None and data.tokens and cluster is not None:
        name, micro, placement = _what_fits(shape, data, setup, micro, cluster)
        if name != setup.method:
            why += f"; {setup.method} does not fit on these GPUs"
        setup = with_batch(replace(setup, method=name), micro, data.longest, data.scored, data.prefix)
        found = [*_on_gpus(shape, data, run, setup, placement, cluster, price)]
    elif shape is not None and data.tokens:
        setup = with_batch(setup, micro, data.longest, data.scored, data.prefix)
        found = [*_on_cpu(shape, data, run, setup)]
    tasks = (choices.examples_per_task(task, number, data.labels) for task, number in data.tasks.items())
    return [
        Advice("train.method", name, why, source),
        *_rate(name, run.rates),
        choices.epochs(data.examples),
        *_batch(data, run, micro),
        precision,
        *found,
        *[one for one in tasks if one is not None],
    ]


def _format(value: str) -> Literal["float32", "bfloat16"]:
    return "bfloat16" if value == "bfloat16" else "float32"


def _rate(method: str, rates: Mapping[str, float] | None) -> Iterator[Advice]:
    if rates and method in rates:
        reason = "where the method usually works; four times more or less can be better, so look at the dev set"
        yield Advice("train.learning_rate", f"{rates[method]:g}", reason, "docs/methods.md")


def _batch(data: Data, run: Run, micro: int) -> Iterator[Advice]:
    batch = choices.global_batch(data.examples)
    reason = (
        f"the power of two below the square root of {data.examples:,}, at most 256: enough steps, with little noise"
    )
    ranks, what = (run.gpus, "GPUs") if run.gpus else (run.ranks, "ranks")
    if ranks > batch:
        reason += f"; {ranks:,} {what} make it {ranks:,} at least, which leaves few steps: use fewer {what}"
    yield Advice("train.global_batch_size", str(batch), reason, "recipes: 64 (Llama 2) to 512 (DEITA)")
    size = min(micro, batch)
    yield Advice("train.micro_batch_size", str(size), "of about 4,096 tokens, and what fits in memory", "docs/train.md")


def _what_fits(shape: ModelShape, data: Data, setup: Setup, micro: int, cluster: Cluster) -> tuple[str, int, Placement]:
    """Method, micro batch and placement: a smaller micro batch, then lora, then qlora, then the memory of the host.

    If nothing fits, the method with a micro batch of one.
    """
    methods = _CHEAPER[: _CHEAPER.index(setup.method) + 1][::-1]
    for moving in (False, True):
        for name in methods:
            size = micro
            while size:
                case = with_batch(replace(setup, method=name), size, data.longest, data.scored, data.prefix)
                found = place(shape, case, cluster, moving)
                if found.fits:
                    return name, size, found
                size //= 2
    return setup.method, 1, place(shape, with_batch(setup, 1, data.longest, data.scored), cluster)


def _on_gpus(
    shape: ModelShape, data: Data, run: Run, setup: Setup, found: Placement, cluster: Cluster, price: Price | None
) -> Iterator[Advice]:
    gpu = cluster.gpu
    room = f"{gpu.usable / GIB:.0f} of {gpu.memory_gib:g} GiB of {gpu.name} are usable"
    fits = "the least that fits" if found.fits else "NOT enough: take a smaller model, or more or larger GPUs"
    yield Advice("resources.train", found.where, fits, "the estimate below")
    yield Advice("train.zero", found.engine, _why_stage(found), "Rajbhandari et al. 2020, arXiv 1910.02054")
    listed = " + ".join(f"{part} {size / GIB:.1f}" for part, size in found.parts.items() if size)
    yield Advice("memory per GPU", f"{found.total / GIB:.1f} GiB", f"{listed}; {room}", "docs/advice.md")
    largest = sizes.largest(cluster, setup)
    reason = f"a larger model helps more than a better method or more data of the same kind; up to {largest} fits here"
    if largest is not None:
        yield Advice("model", f"up to {largest}", reason, choices.SCALING)
    if not gpu.teraflops:
        return
    work = _work(data, run.epochs, run.micro_batch)
    seconds = cost.operations(shape, setup, work) / cost.gpu_speed(gpu, setup.precision)
    low, high = (cost.UTILISATION / share for share in reversed(cost.UTILISATION_RANGE))
    busy = min(found.gpus, run.step or found.gpus)
    reason = (
        f"{cost.UTILISATION:.0%} of {gpu.teraflops:g} Tflop/s; {hours(seconds * low / busy)} to "
        f"{hours(seconds * high / busy)} at {cost.UTILISATION_RANGE[1]:.0%} and {cost.UTILISATION_RANGE[0]:.0%}. "
        f"Training only, without start, looks and export"
    )
    yield Advice("time", hours(seconds / busy), reason, "NeMo AutoModel, torchtitan, torchtune: 28 % to 43 %")
    if price is not None:
        paid = seconds / busy * found.gpus / 3600 * price.per_hour
        rate = f"{found.gpus} x {price.per_hour:g} {price.currency} per hour"
        value = f"{paid:,.2f}" if paid >= 0.01 else "below 0.01"
        yield Advice("cost", f"{value} {price.currency}", rate, "gpu.price_per_hour of cluster.yaml")


def _why_stage(found: Placement) -> str:
    if found.stage == 0:
        return "every GPU can have everything" if found.gpus > 1 else "one GPU has nothing to divide by"
    shared = {1: "the optimizer", 2: "the optimizer and gradients", 3: "the optimizer, gradients and weights"}
    text = f"the lowest stage that fits: {shared[found.stage]} divided by {found.gpus}"
    if found.offload == "none":
        return text
    return f"{text}, and {found.host / GIB:,.0f} GiB in the memory of each node, which took half of the speed away"


def _on_cpu(shape: ModelShape, data: Data, run: Run, setup: Setup) -> Iterator[Advice]:
    found = parts(training(shape, setup))
    total = sum(found.values())
    listed = " + ".join(f"{part} {size / GIB:.2f}" for part, size in found.items() if size)
    value = f"{total / GIB:.2f} GiB"
    yield Advice("memory of a rank", value, f"{listed}; the process needs about 1 GiB more", "docs/advice.md")
    seconds = cost.operations(shape, setup, _work(data, run.epochs, run.micro_batch))
    seconds /= cost.cpu_speed(run.threads, setup.precision)
    each = cost.CPU_GIGAFLOPS[setup.precision]
    reason = f"{run.threads} threads of {each:g} Gflop/s, measured with SmolLM2-135M on an AMD EPYC; yours may differ"
    yield Advice("time", hours(seconds), reason, "docs/performance.md")


def _work(data: Data, epochs: float, micro: int) -> Work:
    """A prompt that all examples begin with goes through the layers once in each micro batch."""
    examples = data.examples * epochs
    rest = data.tokens - data.prefix
    return Work(examples * (rest + data.prefix / max(1, micro)), examples * data.scored, data.tokens)


def hours(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 60:
        return "below 1 min"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86_400:.0f} days"
