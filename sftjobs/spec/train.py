"""The part of run.yaml about training."""

from typing import Annotated, Literal

from pydantic import Field

from sftjobs.model import Document
from sftjobs.spec.multi_task import MultiTaskSpec
from sftjobs.spec.numbers import Auto, Positive
from sftjobs.spec.zero import ZeroSpec

MethodName = Literal[
    "lora", "rslora", "dora", "lora_plus", "periodic_lora", "qlora",
    "prompt_tuning", "p_tuning", "prefix_tuning", "full",
]  # fmt: skip
LORA_FAMILY: tuple[MethodName, ...] = ("lora", "rslora", "dora", "lora_plus", "periodic_lora", "qlora")
"""Methods with the settings `train.lora`: they leave a merged model."""
PROMPT_LEARNING: tuple[MethodName, ...] = ("prompt_tuning", "p_tuning", "prefix_tuning")
"""Methods with the settings `train.prompt_learning`: they leave an adapter alone, which cannot be merged."""
AttentionName = Literal["sdpa", "eager", "flash_attention_2", "flex"]
Tracker = Literal["mlflow", "tensorboard", "wandb"]


class LoraSpec(Document):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

    rank: Positive = 16
    """Rank r of the update."""
    alpha: Positive = 32
    """Scale: the update is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    target: Literal["all-linear", "attention"] = "all-linear"
    """Which layers: every linear layer but the head, or the attention projections only."""
    learning_rate_ratio: Annotated[float, Field(ge=1)] | None = None
    """Learning rate of matrix B over that of A, which is `learning_rate`; for method `lora_plus`, where it is 16 if
    unset."""
    cycles: Positive | None = None
    """Times that the update goes into the weights and a new one begins; for method `periodic_lora`, where it is 4 if
    unset."""


class PromptLearningSpec(Document):
    """Trained virtual tokens before every prompt; no weight of the model changes."""

    virtual_tokens: Positive = 20
    """How many; every example and every answer has so many tokens less of the model's context."""
    encoder: Literal["mlp", "lstm"] | None = None
    """Network that makes them while training: `mlp` or `lstm` for `p_tuning` (`mlp` if unset), `mlp` or none for
    `prefix_tuning`, none for `prompt_tuning`."""
    encoder_size: Positive | None = None
    """Hidden units of that network; unset: the hidden size of the model, of an LSTM half of it."""


class DevSpec(Document):
    """Looks at the dev set (`data.dev_fraction`) while training."""

    every_steps: Auto | Positive = "auto"
    """Optimizer steps from one look to the next; `auto`: ten looks in all."""
    by: Literal["loss", "metric"] = "loss"
    """What says which step is best: the loss of the answers, or the first of `eval.metrics` on generated answers
    (slower)."""
    patience: Positive | None = None
    """Stop after so many looks in a row that are no better than the best; unset: never."""
    max_examples: Positive = 200
    """Look at no more than so many, chosen by the seed."""


class CheckpointSpec(Document):
    """Which checkpoints stay in the store until a training is finished; then `sftjobs gc` takes them all."""

    keep_last: Annotated[int, Field(ge=1, le=100)] = 2
    """So many of the newest. With 2 a damaged newest one does not cost everything."""
    keep_every: Positive | None = None
    """Also the first one at or after each multiple of so many steps, to look back at. Each takes room until `gc`."""


class TrainSpec(Document):
    """How the model is tuned."""

    method: Literal["auto", MethodName] = "auto"
    """What is trained (docs/methods.md); `auto` decides between `lora` and `full` by the number of examples."""
    learning_rate: Auto | Annotated[float, Field(gt=0)] = "auto"
    """Peak learning rate; `auto`: by the method (docs/methods.md), 5e-4 for lora, 2e-5 for full."""
    epochs: Annotated[float, Field(gt=0, le=1000)] = 2.0
    """Passes over each task that does not set its own; 1.5 is one pass and a half that the seed chooses."""
    global_batch_size: Auto | Positive = "auto"
    """Examples per optimizer step over all ranks: micro batch x accumulation x world size."""
    micro_batch_size: Auto | Positive = "auto"
    """Examples per rank and forward pass; `auto`: as many as have about 4,096 tokens, at most 16 (8 on a GPU)."""
    group_by_length: Auto | bool = "auto"
    """Make batches of examples of similar length: less padding, and batches that are less mixed. `auto`: if most of
    an example is not the prompt that all examples start with."""
    packing: Auto | bool = "auto"
    """Lay each micro batch out as one row without padding and without a mask, for attention that finds where an example
    ends. Not for models with layers that look past the end of an example. `auto`: on GPUs with `flash_attention_2`;
    with other attention, examples share a row with a mask wherever that takes fewer operations."""
    attention: Auto | AttentionName = "auto"
    """What computes attention (docs/gpu.md). `auto`: `sdpa`, on a CPU in bfloat16 plain products where these are
    faster; `flex` and `flash_attention_2` are for GPUs."""
    compile: bool = False
    """Compile the layers of the model with torch.compile: slower to start, faster steps (GPU)."""
    liger: bool = False
    """Compute norms, rotary positions and gated MLPs by the fused kernels of Liger, for architectures that it knows
    (GPU)."""
    max_steps: Positive | None = None
    """Stop after so many optimizer steps, if fewer than the epochs give."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward and backward pass. `bfloat16` is autocast: what is trained stays float32."""
    zero: ZeroSpec = ZeroSpec()
    """How several ranks share a model that is too large for one of them."""
    activation_checkpointing: Auto | bool = "auto"
    """Keep only the inputs of layers for the backward pass and compute the rest of their activations again: the same
    result from less memory, in about a third more time. `auto`: on a GPU, if the training would not fit without (by
    `resources.train.gpu_memory_gib`)."""
    lora: LoraSpec = LoraSpec()
    """The adapter of methods `lora`, `rslora`, `dora`, `lora_plus`, `periodic_lora` and `qlora`."""
    prompt_learning: PromptLearningSpec = PromptLearningSpec()
    """The virtual tokens of methods `prompt_tuning`, `p_tuning` and `prefix_tuning`."""
    dev: DevSpec = DevSpec()
    """Looks at the dev set while training."""
    multi_task: MultiTaskSpec = MultiTaskSpec()
    """Ways to train on several tasks, compared in one run."""
    keep: Auto | Literal["best", "last"] = "auto"
    """Which weights become the tuned model: those of the best look at the dev set, or those of the last step. `auto`:
    the best if there is a dev set."""
    seeds: Annotated[int, Field(ge=1, le=20)] = 1
    """Train so many times with different seeds. With one, the intervals cover the choice of held-out examples only."""
    report_to: list[Tracker] = []
    """Send loss and dev results to these too; they find their server and key in the environment variables that they
    document. Not part of the stage key."""
    checkpoint_every_s: Annotated[int, Field(ge=1)] = 120
    """Seconds of training between checkpoints: the most that a crash can cost. Not part of the stage key."""
    checkpoints: CheckpointSpec = CheckpointSpec()
    """Which checkpoints stay in the store while a training is not finished. Not part of the stage key."""
