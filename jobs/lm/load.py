"""Open a causal language model from a folder in Hugging Face format: safetensors only, no code from the folder."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedModel

from sftjobs.errors import DataError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def load_model(folder: Path, dtype: torch.dtype = torch.float32, **more: Any) -> PreTrainedModel:
    """The model in evaluation mode, with `sdpa` attention where its architecture can have it (not Gemma 2).

    It is on the CPU, unless `more` has a `device_map`. `dtype` is that of the weights in memory: float32 for training,
    because updates smaller than the rounding of a 16-bit number would be lost, and for evaluation on a CPU. `more`:
    further arguments of `from_pretrained`. Raises DataError if the folder cannot be used.
    """
    check_model_folder(folder)
    try:
        # A half-read model must never be trained: every weight of the architecture has to be in the folder.
        opened: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=_attention(folder),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **more,
        )
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            f"model folder {folder.name!r}: cannot be opened as a causal language model: {error}"
        ) from error
    model, loading = opened
    missing = sorted(loading["missing_keys"])
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(
            f"model folder {folder.name!r}: the safetensors files lack {len(missing)} weights of "
            f"{type(model).__name__}: {shown}. Give a complete copy of the model"
        )
    loaded: PreTrainedModel = model.eval()
    return loaded


def _attention(folder: Path) -> str:
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    architecture = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return "eager" if architecture is not None and not architecture._supports_sdpa else "sdpa"


def check_model_folder(folder: Path) -> None:
    """Raises DataError naming what is missing, if `folder` has no usable config.json or no safetensors weights."""
    if not folder.is_dir():
        raise DataError(f"model folder {str(folder)!r} does not exist")
    config = read_model_config(folder)
    if "auto_map" in config and "model_type" not in config:
        raise DataError(
            f"model folder {folder.name!r}: the model needs Python code from its folder (auto_map in config.json), "
            "which is never executed; give a model whose architecture is part of transformers"
        )
    if not any((folder / name).is_file() for name in WEIGHTS):
        others = sorted(path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".gguf"})
        hint = f"; found {', '.join(others[:3])}: convert the weights to safetensors" if others else ""
        raise DataError(f"model folder {folder.name!r}: no weights: expected {' or '.join(WEIGHTS)}{hint}")


def read_model_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder. Raises DataError if it is missing or not a JSON object."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"model folder {folder.name!r}: config.json is missing: is this a model folder?") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"model folder {folder.name!r}: config.json is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"model folder {folder.name!r}: config.json must hold an object")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model, sorted by name."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(names)]
    return [folder / "model.safetensors"]


def stored_dtype(folder: Path) -> torch.dtype:
    """The number format of the model's files: what config.json says, else that of most tensors."""
    declared = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True).dtype
    if isinstance(declared, torch.dtype):
        return declared
    found: Counter[str] = Counter()
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            found.update(file.get_slice(name).get_dtype() for name in file.keys())  # noqa: SIM118
    common = found.most_common(1)[0][0]
    return _DTYPES.get(common, torch.float32)
