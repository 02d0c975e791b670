"""What a training needs of memory, by part; and what to change if there was not enough.

The estimate is printed before the first step: a process that the kernel kills for memory leaves nothing but its log.
It is for decoders with gated MLPs and attention that keeps no scores; others are of the same order.
"""

import ctypes
import errno
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from transformers import PretrainedConfig

from jobs.lm.layout import Sequences
from jobs.lm.prefix import Layouts
from jobs.train.examples import TrainingSet
from jobs.train.parallel.memory import Sizes, zero_parts
from jobs.train.trainer import SftTrainer
from sftjobs.errors import DataError
from sftjobs.plan.configs import TrainConfig, ZeroConfig
from sftjobs.program import Program

GIB = 2**30
WORKING = 1.4
"""What is kept for the backward pass, and beside it what that pass works with. Measured with a model of 135 million
parameters on a CPU with tcmalloc: peaks were 2 to 8 % above whole estimates (all weights; adapter, micro batch 16)."""
ROOM = 1.2
"""The share of the estimate that is asked for: it is no more exact than that."""
RANK = 16
"""Rank of the adapter that `method: lora` would have (the default of run.yaml)."""
_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
)


@dataclass(frozen=True)
class Shape:
    """What decides about memory; sizes of one rank."""

    weights: int
    """Bytes."""
    trainable: int
    """Parameters, float32."""
    layers: int
    hidden: int
    inner: int
    """Width of the MLP."""
    vocabulary: int
    encoded: int
    """Tokens of the largest micro batch, padding included."""
    scored: int
    """Its positions with logits."""
    masked: int
    """Entries of its dense mask."""
    frozen: bool
    """Whether the model's own weights are frozen below an adapter."""
    bfloat16: bool
    ranks: int
    other: int
    """Bytes: libraries, data and the rest of the process; 0 on a GPU."""
    parameters: int = 0
    """All of them; known with `zero`."""
    zero: ZeroConfig | None = None
    on_gpu: bool = False


def parts(shape: Shape) -> dict[str, int]:
    """Bytes by part.

    Kept for the backward pass of a layer and token are the inputs of both norms, of all projections and of attention
    (queries, keys and values of full width, output): 11 times the hidden size, 9 with frozen norms, and of a gated MLP
    four times the inner size. Logits exist twice, as they are and as gradient, in the number format of the products.
    AdamW has two moments (Loshchilov and Hutter 2019); with several ranks gradients are held in buckets as well.
    """
    norms = (4 if shape.frozen else 6) * shape.hidden
    products = 5 * shape.hidden + 4 * shape.inner
    # With autocast the residual stream stays float32; one more copy of it is made for the products.
    kept = 2 * products + 4 * (norms + shape.hidden) if shape.bfloat16 else 4 * (norms + products)
    return {
        **_state(shape),
        "activations": int(WORKING * kept * shape.layers * shape.encoded) + 4 * shape.masked,
        "logits": (4 if shape.bfloat16 else 8) * shape.scored * shape.vocabulary,
        "libraries and data": shape.other,
    }


def _state(shape: Shape) -> dict[str, int]:
    if shape.zero is not None:
        sizes = Sizes(shape.parameters, shape.trainable, shape.ranks, shape.bfloat16, shape.on_gpu)
        return zero_parts(shape.zero, sizes)
    copies = 2 * shape.trainable if shape.bfloat16 else 0  # autocast keeps what it has rounded until the step's end
    return {
        "weights": shape.weights + copies,
        "gradients": 4 * shape.trainable * (2 if shape.ranks > 1 else 1),
        "optimizer": 8 * shape.trainable,
    }


class Memory:
    """Turns a lack of memory into a message with figures."""

    def __init__(self, program: Program, config: TrainConfig) -> None:
        self._program = program
        self._config = config
        self._shape: Shape | None = None
        self._examples: TrainingSet | None = None
        self._layouts: Layouts | None = None
        self.trainer: SftTrainer | None = None
        """Once there is one."""

    def knows(self, model: nn.Module, config: PretrainedConfig, layouts: Layouts, examples: TrainingSet) -> None:
        """Estimate, and print it in one line."""
        self._examples, self._layouts = examples, layouts
        text = config.get_text_config()
        # A weight of which this rank holds a part says how large it is.
        sizes = [(getattr(value, "ds_numel", value.numel()), value) for value in model.parameters()]
        weights = sum(size * value.element_size() for size, value in sizes)
        shape = Shape(
            weights=weights,
            trainable=sum(size for size, value in sizes if value.requires_grad),
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
            vocabulary=text.vocab_size,
            encoded=0,
            scored=0,
            masked=0,
            frozen=self._config.method != "full",
            bfloat16=self._config.precision == "bfloat16",
            ranks=self._config.world_size,
            other=max(0, resident() - sum(value.numel() * value.element_size() for _, value in sizes))
            if self._config.device == "cpu"
            else 0,
            parameters=sum(size for size, _ in sizes),
            zero=self._config.zero,
            on_gpu=self._config.device == "cuda",
        )
        self._shape = self._with_batch(shape, self._config.micro_batch_size, None)
        if self._program.rank == 0:
            print(f"memory of a rank, estimated: {self._breakdown(self._shape)}", flush=True)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A lack of memory inside becomes DataError: the same settings would need the same memory again."""
        try:
            yield
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise DataError(self._message(error)) from error

    def _message(self, error: BaseException) -> str:
        first = str(_lacking(error) or error).strip().splitlines()[0][:300] or type(error).__name__
        peak = f"at most {self._peak() / GIB:.2f} GiB were in use"
        if self._shape is None:
            weights = sum(path.stat().st_size for path in self._program.input("model").glob("*.safetensors"))
            return (
                f"out of memory while the model was opened ({first}); {peak}, its files have {weights / GIB:.2f} GiB. "
                f"{self._more(2 * weights)}"
            )
        changes = self._changes()
        listed = "; ".join(f"{what} (about {saved / GIB:.2g} GiB less)" for what, saved in changes)
        return (
            f"out of memory{self._place()} ({first}). Estimated: {self._breakdown(self._shape)}; {peak}. "
            f"What needs less: {listed + '; or ' if listed else ''}{self._more(self._total(self._shape))}"
        )

    def _place(self) -> str:
        step = self.trainer.step if self.trainer else None
        if step is None:
            return ""
        largest = max(step.micro_batches, key=lambda micro: micro.batch.encoded)
        return (
            f" in training step {step.number + 1}, whose largest micro batch has {len(largest.examples)} examples in "
            f"{largest.batch.encoded:,} tokens"
        )

    def _breakdown(self, shape: Shape) -> str:
        listed = " + ".join(f"{name} {size / GIB:.2f}" for name, size in parts(shape).items() if size)
        size = self._config.micro_batch_size
        return (
            f"{self._total(shape) / GIB:.2f} GiB = {listed}, for a micro batch of the {size} longest examples "
            f"({shape.encoded:,} tokens, {shape.scored:,} with logits)"
        )

    def _changes(self) -> list[tuple[str, int]]:
        """At most three, the one that saves most first."""
        shape, config = self._shape, self._config
        assert shape is not None and self._examples is not None
        others: list[tuple[str, Shape]] = []
        if config.micro_batch_size > 1:
            half = config.micro_batch_size // 2
            others.append((f"train.micro_batch_size: {half}", self._with_batch(shape, half, None)))
        longest = max(self._examples.lengths)
        tokens = max(1, longest // 2)
        over = sum(length > tokens for length in self._examples.lengths)
        if over < len(self._examples.lengths):
            what = f"data.max_tokens: {tokens}, which {over:,} of {len(self._examples.lengths):,} examples exceed"
            others.append((what, self._with_batch(shape, config.micro_batch_size, tokens)))
        if config.method == "full":
            adapter = RANK * shape.layers * (8 * shape.hidden + 3 * (shape.hidden + shape.inner))
            others.append(("train.method: lora", replace(shape, trainable=adapter, frozen=True)))
        if shape.ranks > 1 and (config.zero is None or config.zero.stage < 3):
            others.append(("train.zero.stage: 3", replace(shape, zero=ZeroConfig(stage=3))))
        if config.precision == "float32":
            weights = shape.weights // 2 if shape.frozen else shape.weights
            others.append(("train.precision: bfloat16", replace(shape, bfloat16=True, weights=weights)))
        saved = [(what, self._total(shape) - self._total(other)) for what, other in others]
        return sorted((one for one in saved if one[1] > 0), key=lambda one: -one[1])[:3]

    def _more(self, needed: int) -> str:
        gib = -(-int(needed * ROOM * self._program.plan.resources.processes_per_node) // GIB)
        if self._config.device == "cuda":
            return f"a GPU with {-(-int(needed * ROOM) // GIB)} GiB"
        now = self._program.plan.resources.memory_gib
        return f"resources.train.memory_gib: {max(gib, now + 1)} instead of {now}"

    def _with_batch(self, shape: Shape, size: int, max_tokens: int | None) -> Shape:
        """With the largest micro batch: that of the longest examples."""
        examples, layouts = self._examples, self._layouts
        assert examples is not None and layouts is not None
        numbers = [n for n, length in enumerate(examples.lengths) if max_tokens is None or length <= max_tokens]
        longest = sorted(numbers, key=lambda number: -examples.lengths[number])[:size]
        batch = layouts.lay_out(
            Sequences(
                [examples.token_ids[number].tolist() for number in longest],
                [examples.labels[number].tolist() for number in longest],
            )
        )
        masked = sum(value.numel() for value in batch.inputs.values() if value.dim() == 4)
        return replace(shape, encoded=batch.encoded, scored=len(batch.positions), masked=masked)

    def _total(self, shape: Shape) -> int:
        return sum(parts(shape).values())

    def _peak(self) -> int:
        if self._config.device == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error, or one that it came from, is a lack of memory."""
    return _lacking(error) is not None


def _lacking(error: BaseException | None) -> BaseException | None:
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return error
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return error
        if isinstance(error, RuntimeError | OSError) and any(sign in str(error).lower() for sign in _SIGNS):
            return error
        error = error.__cause__ or error.__context__
    return None


def resident() -> int:
    """Bytes of this process in memory, without what it has freed but not given back."""
    give_back()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back() -> None:
    """Return to the kernel what is free but held by the allocator (glibc); elsewhere nothing happens."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
