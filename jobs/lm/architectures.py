"""What is known of a model's attention: which layouts of a batch are exact for it.

Lists of what is known to be right (tests/stage/test_engine_architectures.py compares each entry numerically), not of
what fails: an unknown architecture gets padded batches, which are right for every causal model.
"""

from transformers import PretrainedConfig

SHARED_PREFIX = frozenset(
    {"gemma", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3", "starcoder2"}
)
"""Model types that can go on after an encoded prefix (jobs/lm/prefix_attention.py), if no window is set."""

ONE_ROW = SHARED_PREFIX | frozenset(
    {"cohere", "cohere2", "ernie4_5", "exaone4", "gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_neox"}
    | {"hunyuan_v1_dense", "internlm3", "ministral", "mixtral", "olmo", "olmo3", "phi", "qwen3_moe", "stablelm"}
)
"""Model types whose layers are all causal attention, full or with a sliding window, with explicit position ids.

They take a dense mask as it is, and without a mask find the examples of a row by position ids that restart.
"""

FULL, SLIDING = "full_attention", "sliding_attention"
"""Names of kinds of layers, those of `layer_types` in config.json."""


def supports_shared_prefix(config: PretrainedConfig) -> str | None:
    """None if generation may go on after a prefix that was encoded once, else the reason why it may not."""
    if config.model_type not in SHARED_PREFIX:
        return f"architecture {config.model_type!r} is not known to have full causal attention in every layer"
    found = windows(config)
    if found.get(SLIDING):
        return f"sliding window of {found[SLIDING]} tokens"
    return _unknown_layers(found) or _dense_mask(config)


def supports_one_row(config: PretrainedConfig, attention: str | None = None) -> str | None:
    """None if several examples may be one row with a mask (a common prefix once), else the reason why not.

    `attention`: what computes it (`train.attention`); None: what the model was opened with.
    """
    return supports_packing(config) or _dense_mask(config, attention)


def supports_packing(config: PretrainedConfig) -> str | None:
    """None if examples may be one row told apart by their position ids alone, else the reason why they may not."""
    if config.model_type not in ONE_ROW:
        return f"architecture {config.model_type!r} is not known to have causal attention in every layer"
    if getattr(config, "use_bidirectional_attention", False):
        return "use_bidirectional_attention: its attention is not causal"
    return _unknown_layers(windows(config))


def windows(config: PretrainedConfig) -> dict[str, int | None]:
    """Kind of layer -> how many tokens it looks back, itself included; None: all of them."""
    window = getattr(config, "sliding_window", None)
    if not getattr(config, "use_sliding_window", True):  # Qwen2 before 2025 wrote a window that was switched off
        window = None
    kinds = set(getattr(config, "layer_types", None) or [SLIDING if window else FULL])
    return {kind: window if kind == SLIDING else None for kind in sorted(kinds)}


def _unknown_layers(found: dict[str, int | None]) -> str | None:
    unknown = sorted(set(found) - {FULL, SLIDING})
    return f"layers of type {', '.join(unknown)}" if unknown else None


def _dense_mask(config: PretrainedConfig, attention: str | None = None) -> str | None:
    name = attention or config._attn_implementation
    return None if name in {"sdpa", "eager", "flex"} else f"attention implementation {name!r} takes no mask of its own"
