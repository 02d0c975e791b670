"""What a training needs of memory, by part; and what to change if there was not enough.

The estimate is printed before the first step: a process that the kernel kills for memory leaves nothing but its log.
Its formula is `sftjobs.advice.memory`.
"""

import ctypes
import errno
import gc
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from transformers import PretrainedConfig

from jobs.lm import bfloat16_attention
from jobs.lm.layout import Sequences
from jobs.lm.prefix import Layouts
from jobs.train.examples import TrainingSet
from jobs.train.model import parameter_counts, weight_bytes
from jobs.train.trainer import SftTrainer
from sftjobs.advice.gpus import USABLE
from sftjobs.advice.memory import Training, parts, total
from sftjobs.advice.need import training
from sftjobs.advice.shape import ModelShape
from sftjobs.errors import DataError
from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.memory_setup import memory_setup
from sftjobs.program import Program
from sftjobs.spec.zero_rules import NOT_SHARED

GIB = 2**30
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
MOST_CHANGES = 3


@dataclass(frozen=True)
class Change:
    """Of a setting, so that a training needs less."""

    what: str
    apply: Callable[[Training], Training] = lambda case: case
    micro_batch: int | None = None
    max_tokens: int | None = None


class Memory:
    """Turns a lack of memory into a message with figures."""

    def __init__(self, program: Program, config: TrainConfig) -> None:
        self._program = program
        self._config = config
        self._case: Training | None = None
        self._shape: ModelShape | None = None
        self._examples: TrainingSet | None = None
        self._layouts: Layouts | None = None
        # Before the model is opened: its files may be mapped into memory and be there in part only.
        self._beside_tensors = resident() if config.device == "cpu" else 0
        self._score_bytes = 0.0
        """Of a pair of tokens that look at each other, over all heads and layers."""
        self.trainer: SftTrainer | None = None
        """Once there is one."""

    def knows(self, model: nn.Module, config: PretrainedConfig, layouts: Layouts, examples: TrainingSet) -> None:
        """Estimate, and print it in one line."""
        self._examples, self._layouts = examples, layouts
        trainable, parameters = parameter_counts(model)
        base = parameters if self._config.method == "full" else parameters - trainable
        self._shape = replace(_shape(config.get_text_config()), counted=base)
        self._score_bytes = self._kept_scores(config, max(examples.lengths))
        case = replace(
            training(self._shape, memory_setup(self._config)),
            weights=weight_bytes(model),
            trainable=trainable,
            other=self._beside_tensors,
        )
        self._case = self._with_batch(case, self._config.micro_batch_size, None)
        if self._program.rank == 0:
            print(f"memory of a rank, estimated: {self._breakdown(self._case)}", flush=True)

    def _kept_scores(self, config: PretrainedConfig, longest: int) -> float:
        """Where attention is computed by plain products, see jobs/lm/bfloat16_attention.py."""
        if self._config.attention == "eager":
            return float(bfloat16_attention.kept(config, 1))
        if self._config.precision != "bfloat16" or self._config.device != "cpu" or self._config.attention is not None:
            return 0.0
        pairs = self._config.micro_batch_size * longest**2
        return bfloat16_attention.kept(config, pairs) / pairs if bfloat16_attention.is_chosen(config, pairs) else 0.0

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
        if self._case is None:
            weights = sum(path.stat().st_size for path in self._program.input("model").glob("*.safetensors"))
            return (
                f"out of memory while the model was opened ({first}); {peak}, its files have {weights / GIB:.2f} GiB. "
                f"{self._more(2 * weights)}"
            )
        return (
            f"out of memory{self._place()} ({first}). Estimated: {self._breakdown(self._case)}; {peak}. "
            f"What needs less: {self._ways_out(self._case)}{self._more(total(self._case))}"
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

    def _breakdown(self, case: Training) -> str:
        listed = " + ".join(f"{name} {size / GIB:.2f}" for name, size in parts(case).items() if size)
        size = self._config.micro_batch_size
        return (
            f"{total(case) / GIB:.2f} GiB = {listed}, for a micro batch of the {size} longest examples "
            f"({case.encoded:,} tokens, {case.scored:,} with logits)"
        )

    def _ways_out(self, case: Training) -> str:
        """At most three changes with what each saves: those that are enough alone first, then the largest."""
        needed, room = total(case), self._room()
        found = [(change, total(self._changed(case, change))) for change in self._changes(case)]
        found = sorted((one for one in found if one[1] < needed), key=lambda one: (one[1] > room, one[1]))
        found = found[:MOST_CHANGES]
        if not found:
            return ""
        # An estimate below what is there was too low: nothing follows from it about what is enough.
        judged = needed > room
        listed = [
            f"{change.what} (about {(needed - left) / GIB:.2g} GiB less{', enough' if judged and left <= room else ''})"
            for change, left in found
        ]
        if judged and found[0][1] > room:
            left = total(self._changed(case, *(change for change, _ in found)))
            if len(found) > 1:
                listed[-1] += f", together about {left / GIB:.2g} GiB"
            listed[-1] += f", of {room / GIB:.2g} GiB that there are"
        return f"{'; '.join(listed)}; or "

    def _room(self) -> int:
        """Bytes that a rank can certainly have: of a GPU what the estimate counts on, elsewhere what it has had."""
        if self._config.device == "cuda":
            share = torch.cuda.get_per_process_memory_fraction()
            return int(torch.cuda.mem_get_info()[1] * share * USABLE)
        return self._peak()

    def _changed(self, case: Training, *changes: Change) -> Training:
        for change in changes:
            case = change.apply(case)
        sizes = [change.micro_batch for change in changes if change.micro_batch is not None]
        tokens = [change.max_tokens for change in changes if change.max_tokens is not None]
        if sizes or tokens:
            size = min(sizes, default=self._config.micro_batch_size)
            case = self._with_batch(case, size, min(tokens, default=None))
        return case

    def _changes(self, case: Training) -> Iterator[Change]:
        """All that may help."""
        config = self._config
        assert self._examples is not None
        if config.micro_batch_size > 1:
            yield self._smaller_batch(case)
        longest = max(self._examples.lengths)
        tokens = max(1, longest // 2)
        over = sum(length > tokens for length in self._examples.lengths)
        if over < len(self._examples.lengths):
            what = f"data.max_tokens: {tokens}, which {over:,} of {len(self._examples.lengths):,} examples exceed"
            yield Change(what, max_tokens=tokens)
        if not case.checkpointing and config.method != "prefix_tuning":
            yield Change("train.activation_checkpointing: true", lambda case: replace(case, checkpointing=True))
        if config.method == "full":
            yield Change("train.method: lora", _with_adapter)
        if case.ranks > 1 and case.stage < 3 and config.method not in NOT_SHARED:
            yield Change("train.zero.stage: 3", lambda case: replace(case, stage=3, mixed=case.bfloat16))
        if config.precision == "float32":
            yield Change("train.precision: bfloat16", self._in_bfloat16)

    def _smaller_batch(self, case: Training) -> Change:
        """The largest that is enough of a half, a quarter and so on; then a step has several, and keeps gradients."""
        size, room = self._config.micro_batch_size, self._room()
        while True:
            size //= 2
            change = Change(f"train.micro_batch_size: {size}", _accumulated, micro_batch=size)
            if size == 1 or total(self._changed(case, change)) <= room:
                return change

    def _in_bfloat16(self, case: Training) -> Training:
        assert self._shape is not None
        setup = replace(memory_setup(self._config), mixed=False)
        now, then = training(self._shape, setup), training(self._shape, replace(setup, precision="bfloat16"))
        weights = case.weights - now.weights + then.weights
        return replace(case, bfloat16=True, weights=weights, rounded=then.rounded, unpacked=then.unpacked)

    def _more(self, needed: int) -> str:
        gib = -(-int(needed * ROOM * self._program.plan.resources.processes_per_node) // GIB)
        if self._config.device == "cuda":
            return f"a GPU with {-(-int(needed * ROOM) // GIB)} GiB"
        now = self._program.plan.resources.memory_gib
        return f"resources.train.memory_gib: {max(gib, now + 1)} instead of {now}"

    def _with_batch(self, case: Training, size: int, max_tokens: int | None) -> Training:
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
        masks = batch.inputs.get("attention_mask")
        dense = [
            one for one in (masks.values() if isinstance(masks, dict) else [masks]) if isinstance(one, torch.Tensor)
        ]
        masked = sum(one.numel() for one in dense if one.dim() == 4)
        ids = batch.inputs["input_ids"]
        assert isinstance(ids, torch.Tensor)
        scores = int(self._score_bytes * ids.shape[0] * ids.shape[1] ** 2)
        return replace(case, encoded=batch.encoded, scored=len(batch.positions), masked=masked, scores=scores)

    def _peak(self) -> int:
        if self._config.device == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _accumulated(case: Training) -> Training:
    return replace(case, accumulated=True)


def _with_adapter(case: Training) -> Training:
    """With `train.method: lora` instead of `full`."""
    adapter = RANK * case.layers * (8 * case.hidden + 3 * (case.hidden + case.inner))
    return replace(case, trainable=adapter, frozen=True, head=0)


def _shape(config: PretrainedConfig) -> ModelShape:
    """Sizes by the names that transformers gives to those of every architecture."""
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")
    return ModelShape.of({**config.to_dict(), **{name: getattr(config, name) for name in names}})


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
