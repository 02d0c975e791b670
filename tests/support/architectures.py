"""Tiny random models of the architectures that the engine knows, and batches to compare layouts with."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from jobs.lm.layout import Batch, Sequences
from jobs.lm.render import IGNORE
from jobs.lm.token_losses import scored_positions, summed_loss

VOCABULARY = 97
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "head_dim": 8,
    "initializer_range": 0.1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = 7
"""Shorter than the examples of `make_sequences`."""
_EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}
_ALTERNATING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
CHANGES: dict[str, dict[str, object]] = {
    "cohere2": _ALTERNATING,
    "exaone4": _ALTERNATING,
    "gemma2": _ALTERNATING,
    "gemma3_text": {**_ALTERNATING, "final_logit_softcapping": 0.5},
    "gpt2": {"n_inner": 48, "intermediate_size": None, "num_key_value_heads": None, "head_dim": None},
    "granite": {"logits_scaling": 3.0},
    "ministral": _ALTERNATING,
    "mistral": {"sliding_window": WINDOW},
    "mixtral": {**_EXPERTS, "sliding_window": WINDOW},
    "olmo3": _ALTERNATING,
    "phi3": {"sliding_window": WINDOW},
    "qwen2": {**_ALTERNATING, "use_sliding_window": True},
    "qwen3": {**_ALTERNATING, "use_sliding_window": True},
    "qwen3_moe": {**_EXPERTS, "moe_intermediate_size": 24, "sliding_window": WINDOW, "use_sliding_window": True},
    "smollm3": {**_ALTERNATING, "use_sliding_window": True},
    "starcoder2": {"sliding_window": WINDOW},
}
"""What a tiny model of an architecture has besides `SIZES`: windows where the architecture knows them."""


def make_config(name: str, **changes: object) -> PretrainedConfig:
    """A two-layer config of model type `name`."""
    return AutoConfig.for_model(name, **{**SIZES, **CHANGES.get(name, {}), **changes})


def make_model(name: str, **changes: object) -> PreTrainedModel:
    """A random float32 model without dropout, the same each time."""
    config = make_config(name, **changes)
    attention = "eager" if name == "gemma2" else "sdpa"  # transformers has Gemma 2 without sdpa
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
            module.attention_dropout = 0.0
    return model.train()


def make_sequences(
    prefix: int = 20, rests: tuple[int, ...] = (3, 9, 5, 6), answers: int = 2, seed: int = 1
) -> Sequences:
    """Examples with `prefix` common tokens, rests of unequal length and a loss on the last `answers` tokens."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randint(3, VOCABULARY, (prefix,), generator=generator).tolist()
    ids = [
        [*common, number + 3, *torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()]
        for number, length in enumerate(rests)
    ]
    labels = [[IGNORE] * (len(row) - answers) + row[-answers:] for row in ids]
    return Sequences(ids, labels)


def stock_loss(model: nn.Module, sequences: Sequences) -> Tensor:
    """Summed loss from the logits of every position of a padded batch."""
    length = max(len(ids) for ids in sequences.ids)
    ids = torch.tensor([list(row) + [0] * (length - len(row)) for row in sequences.ids])
    labels = torch.tensor([list(row) + [IGNORE] * (length - len(row)) for row in sequences.labels])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in sequences.ids])
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE, reduction="sum")


def compact_loss(model: nn.Module, batch: Batch, use_cache: bool = False) -> Tensor:
    """Summed loss of a batch with logits at its scored positions only."""
    with scored_positions(model, batch.positions):
        logits = model(**batch.inputs, use_cache=use_cache).logits
    assert logits.shape[:2] == (1, len(batch.targets))
    return summed_loss(logits, batch.targets)


def gradients(model: nn.Module, loss: Tensor) -> Tensor:
    """All gradients of `loss` in one vector."""
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def difference(one: Tensor, other: Tensor) -> float:
    """Norm of the difference over the norm of `one`."""
    return ((one - other).norm() / one.norm()).item()
