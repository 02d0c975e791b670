"""Write a model and its tokenizer as a folder in Hugging Face format that says nothing about this machine."""

import json
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from jobs.lm.render import Renderer
from sftjobs.canonical import readable

_HOST_KEYS = ("name_or_path", "_name_or_path", "_model_name_or_path", "is_local", "local_files_only")
_UNSET_LENGTH = 10**9  # transformers writes 1e30 where no limit is known
_PADDING_NAMES = ("<|endoftext|>", "<unk>", "[UNK]")


def write_model_folder(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save to `folder`: equal weights and tokenizers give equal bytes. Raises DataError without a chat template."""
    stop_ids = Renderer(tokenizer).stop_ids
    length = context_length(model)
    tokenizer.model_max_length = min(tokenizer.model_max_length, length)
    _choose_padding(tokenizer, stop_ids)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config = _generation(model.generation_config, tokenizer, stop_ids)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        _forget_host(folder / name)


def context_length(model: PreTrainedModel) -> int:
    """Most tokens that the model was made for; 0 if its config does not say."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 0)


def _choose_padding(tokenizer: PreTrainedTokenizerBase, stop_ids: list[int]) -> None:
    """Pad with a token that ends nothing, if the vocabulary has one: many collators mask padding by its id."""
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in stop_ids:
        return
    special = [str(token) for i, token in tokenizer.added_tokens_decoder.items() if i not in stop_ids]
    named = [token for token in special if "pad" in token.lower()]
    free = named + [token for token in _PADDING_NAMES if token in special and token != tokenizer.bos_token]
    if free:
        tokenizer.pad_token = free[0]
    elif tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def _generation(
    given: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase, stop_ids: list[int]
) -> GenerationConfig:
    """What the model's maker recommends for generation, with the ids that end an answer."""
    made_up = given is None or getattr(given, "_from_model_config", False)
    config = GenerationConfig() if made_up or given is None else given
    config.bos_token_id = tokenizer.bos_token_id
    config.eos_token_id = stop_ids if len(stop_ids) > 1 else stop_ids[0]
    config.pad_token_id = tokenizer.pad_token_id
    return config


def _forget_host(path: Path) -> None:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_bytes(readable({key: value for key, value in values.items() if key not in _HOST_KEYS}))
