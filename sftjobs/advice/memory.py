"""The memory of a training, by part, at the moment with most of it: one formula for estimates, advice and messages.

It is for decoders with gated MLPs and attention that keeps no scores; others are of the same order. All sizes are
tensors; what a process has beside them is `Training.other`. tests/stage/test_memory_estimate.py compares it with what
torch allocates.
"""

from dataclasses import dataclass
from typing import Literal

Offload = Literal["none", "optimizer", "parameters"]
CHUNK = 2**20
"""Logits that the loss has in float32 at a time on a CPU, and on a GPU (jobs/lm/token_losses.py)."""
CHUNK_ON_GPU = 2**27
BUCKET = 50_000_000
"""Elements that ZeRO reduces or gathers at a time. DeepSpeed's 5e8 would hold 2 GB of float32 for it on every rank."""
LIVE = 1_000_000_000
"""ZeRO 3: elements that may be whole at a time, and the distance to the next use from which one is let go."""


@dataclass(frozen=True)
class Training:
    """What decides about memory. Sizes are those of one rank before ZeRO divides them."""

    weights: int
    """Bytes of the model and what is added to it."""
    trainable: int
    """Parameters that are trained."""
    layers: int
    hidden: int
    query_width: int
    """Numbers of a token's queries in a layer, heads x size of a head; mostly the hidden size."""
    kv_width: int
    """Numbers of its keys."""
    inner: int
    """Width of the MLP."""
    vocabulary: int
    encoded: int
    """Tokens of the largest micro batch, padding included."""
    scored: int
    """Its positions with logits."""
    frozen: bool
    """Whether the model's own weights are frozen below what is trained."""
    bfloat16: bool
    """Precision of the arithmetic."""
    ranks: int
    head_norms: bool = False
    """Whether queries and keys are normalised."""
    masked: int = 0
    """Entries of the micro batch's dense mask."""
    beside: int = 0
    """Numbers that adapters keep for each token and layer (`sftjobs.advice.need`)."""
    scores: int = 0
    """Bytes of attention scores that are kept (jobs/lm/bfloat16_attention.py)."""
    rounded: int = 0
    """Bytes of 16-bit copies of frozen float32 weights, which autocast makes and the backward pass needs."""
    unpacked: int = 0
    """Bytes of the largest matrix of 4 bits in the format of the products."""
    head: int = 0
    """Trained parameters of the head's matrix."""
    tied: bool = True
    accumulated: bool = False
    """Whether a step has several micro batches."""
    chunk: int = CHUNK
    """Logits in float32 at a time."""
    checkpointing: bool = False
    """Whether only the inputs of layers are kept, and the rest is computed again."""
    mixed: bool = False
    """Trained weights and gradients in 16 bits with a float32 copy of the weights, as in DeepSpeed's bf16 mode."""
    stage: int = 0
    """ZeRO stage."""
    offload: Offload = "none"
    """What is in the memory of the host; `parameters` includes the optimizer."""
    bucket: int = BUCKET
    """Gradients that ZeRO sends at a time."""
    other: int = 0
    """Bytes beside tensors: libraries, data, what an allocator holds."""


def parts(training: Training) -> dict[str, int]:
    """Bytes by part at the moment with most: in the loss, at the start or at the end of the backward pass.

    16 bytes for each trained parameter: float32 weights 4, gradients 4, AdamW's moments 8 (Loshchilov and Hutter 2019),
    or in mixed precision 2 + 2 + 12; ZeRO 1 divides the optimizer's part by the ranks, 2 the gradients as well, 3 the
    weights as well (Rajbhandari et al. 2020, arXiv 1910.02054, section 5). Gradients are nothing when the backward pass
    begins and all there when activations are gone, so a step needs less than the sum of both.
    """
    return max(_moments(training), key=lambda moment: sum(moment.values()))


def total(training: Training) -> int:
    """Bytes in all."""
    return sum(parts(training).values())


def states(training: Training) -> dict[str, int]:
    """Bytes of weights, gradients and optimizer alone, as ZeRO divides them: nothing that is gathered or in transit."""
    size = 2 if training.mixed else 4
    held = 0 if training.offload == "parameters" else round(training.weights * _share(training, 3))
    trained = training.trainable if training.offload == "none" else 0
    gradients = round(size * trained * _share(training, 2))
    return {"weights": held, "gradients": gradients, "optimizer": _optimizer(training)}


def host(training: Training) -> int:
    """Bytes that offloading moves to the memory of the host, for one rank."""
    share = _share(training, 1)
    moved = (14 if training.mixed else 16) * training.trainable if training.offload != "none" else 0
    return round((moved + (training.weights if training.offload == "parameters" else 0)) * share)


def _moments(case: Training) -> list[dict[str, int]]:
    resident = {
        "weights": _weights(case),
        "gradients": 0,
        "optimizer": _optimizer(case),
        "activations": 0,
        "logits": 0,
        "libraries and data": case.other,
    }
    all_gradients, head, again = _gradients(case)
    kept, in_work, again_computed = _activations(case)
    last_norm = 2 * kept // case.layers if case.checkpointing else 0  # its input, and what it makes of it
    loss = {"activations": kept + last_norm, "logits": _logits(case)}
    begin = {"activations": kept + again_computed + in_work}
    before = all_gradients if case.accumulated else _buckets(case)
    return [
        {**resident, **loss, "gradients": before},
        {**resident, **begin, "gradients": before + (again if case.accumulated else head)},
        {**resident, "activations": again_computed + in_work, "gradients": all_gradients + again},
    ]


def _logits(case: Training) -> int:
    """As they are and as gradient, in the number format of the products, and what is float32 of them at a time.

    That is the part in work, the one before it, and where the format is another one, the part itself.
    """
    size = case.scored * case.vocabulary
    part = min(size, case.chunk)
    before = min(size - part, case.chunk)
    return 2 * (2 if case.bfloat16 else 4) * size + 4 * (part + before + (part if case.bfloat16 else 0))


def _share(case: Training, from_stage: int) -> float:
    return 1 / case.ranks if case.stage >= from_stage else 1.0


def _weights(case: Training) -> int:
    # Autocast keeps what it has rounded until the step's end, of a layer that is computed again until that is done; in
    # mixed precision weights are 16 bits already.
    rounded = case.head + (case.trainable - case.head) // case.layers if case.checkpointing else case.trainable
    copies = 2 * rounded if case.bfloat16 and not case.mixed else 0
    if case.stage < 3:
        return case.weights + copies
    gathered = min(case.weights, (2 if case.bfloat16 else 4) * LIVE)
    held = 0 if case.offload == "parameters" else case.weights // case.ranks
    return held + gathered + copies // case.ranks


def _optimizer(case: Training) -> int:
    if case.offload != "none":
        return 0
    # ZeRO updates a float32 copy of its part of the weights; where it divides float32 weights, that part is the copy.
    copy = case.mixed or case.stage in (1, 2)
    return round((12 if copy else 8) * case.trainable * _share(case, 1))


def _gradients(case: Training) -> tuple[int, int, int]:
    """Bytes of all; of the head's, which comes first; of the largest that is made beside one that is there."""
    size = 2 if case.mixed else 4
    # With the optimizer in host memory they go there as they are made.
    everything = size * case.trainable if case.offload == "none" else 0
    head = size * case.head
    again = head if case.tied or case.accumulated else 0  # an embedding's is added to the one of the head
    return round(everything * _share(case, 2)) + _buckets(case), head, again


def _buckets(case: Training) -> int:
    """What is sent to other ranks: DDP has a copy of all gradients, ZeRO two buckets."""
    if case.ranks == 1:
        return 0
    size = 2 if case.mixed else 4
    return size * (case.trainable if case.stage == 0 else min(case.trainable, 2 * case.bucket))


def _activations(case: Training) -> tuple[int, int, int]:
    """Bytes that are kept for the backward pass; what that pass has in work beside them; what it computes again.

    Kept of a token and layer are the inputs of both norms and what they make of them, queries, keys, values and output
    of attention, and four times the width of a gated MLP: 4 hidden + 2 (queries + keys) + 4 inner. A trained norm keeps
    what it normalised as well: 2 hidden more. With autocast the stream between layers stays float32, as does what norms
    keep; over float32 norms each of the five products of a layer that begin at a norm has a rounded copy of its own,
    over 16-bit weights, frozen or in mixed precision, the stream is 16 bits. Norms of queries and keys keep their
    inputs, and trained ones what they normalised. With checkpointing the stream alone is kept, and the backward pass
    makes the rest of one layer at a time.
    """
    hidden, kv, inner = case.hidden, case.kv_width, case.inner
    attention = 2 * (case.query_width + kv)
    again = 0 if case.frozen else 1  # what a trained norm normalised
    half = case.bfloat16 and (case.mixed or (case.frozen and not case.rounded))
    if not case.bfloat16:
        layer = 4 * ((4 + 2 * again) * hidden + attention + 4 * inner)
        work = 4 * (2 * hidden + kv + 2 * inner)
    else:
        norms = 2 * (4 + 2 + 2 * again) if half else 2 * (4 + 4 * again) + 5 * 2
        layer = norms * hidden + 2 * (attention + 4 * inner)
        work = 2 * ((4 if half else 6) * hidden + kv + 2 * inner)
    if case.head_norms:
        layer += (case.query_width + kv) * (4 + 2 * again if case.bfloat16 else 4 + 4 * again)
    layer += (2 if case.bfloat16 else 4) * case.beside
    stream = (2 if half else 4) * hidden
    kept, again_computed = layer * case.layers * case.encoded + case.scores + case.rounded, 0
    if case.checkpointing:
        kept = stream * case.layers * case.encoded
        again_computed = layer * case.encoded + (case.scores + case.rounded) // case.layers
    return kept + 4 * case.masked, work * case.encoded + case.unpacked, again_computed
