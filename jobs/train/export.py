"""The tuned model as it is published: `model/` where weights are trained, `adapter/` where an adapter is.

Equal weights give equal bytes: nothing of this machine (paths, times) is written. What was written is opened again and
counted before the stage may be committed, and computes with it (jobs/train/recheck.py).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from jobs.lm.load import read_model_config, stored_dtype, weight_files
from jobs.train.cycles import cycles_of, save_whole_adapter
from jobs.train.generator import virtual_tokens
from jobs.train.methods import TrainedModel
from jobs.train.methods.qlora import quantized_layers
from jobs.train.model import in_float32, on_the_base
from jobs.train.recheck import Recheck, round_weights
from sftjobs.canonical import readable
from sftjobs.errors import DataError, SftError

MODEL = "model"
ADAPTER = "adapter"
_COPIED = {".json", ".jinja", ".model", ".txt", ".tiktoken"}
"""Suffixes of the tokenizer's files and the like in a model folder."""


def export(model: TrainedModel, base: Path, stop_ids: list[int], content: Path, recheck: Recheck | None = None) -> None:
    """Write the tuned model below `content`, in the number format of the files in `base`, and check what was written.

    `stop_ids` end an answer; they are added to the generation config, so that any server stops where training did.
    The model cannot be trained any further: an adapter is merged into it. Trained virtual tokens cannot be merged, so
    they are all there is. With `recheck`, what was written is opened again and has to say what the trained model says.
    """
    device = next(model.parameters()).device
    apart = None
    if isinstance(model, PeftModel):
        save_adapter(model, content / ADAPTER)
        if quantized_layers(model):
            trained = None if recheck is None else recheck.logits(model)
            model = on_the_base(content / ADAPTER, base)
            if recheck is not None and trained is not None:
                recheck.note("base model as in its files, not in 4 bits", recheck.logits(model), trained)
        else:
            model = in_float32(model, base)
        if virtual_tokens(model) is not None:
            if recheck is not None:
                recheck.virtual_tokens(content / ADAPTER, base, recheck.logits(model), stop_ids, device)
            return
        if recheck is not None:
            apart = recheck.logits(model)
        model = model.merge_and_unload()
    assert isinstance(model, PreTrainedModel)
    dtype = stored_dtype(base)
    stored = None
    if recheck is not None:
        if apart is not None:
            recheck.compare("merged adapter", recheck.logits(model), apart)
        round_weights(model, dtype)
        stored = recheck.logits(model)
    folder = content / MODEL
    model.generation_config = _generation_config(base, model, stop_ids)
    model.to("cpu", dtype=dtype).save_pretrained(folder)  # type: ignore[call-overload]
    _copy_tokenizer(base, folder)
    verify(folder, model)
    if recheck is not None and stored is not None:
        recheck.model(folder, stored, stop_ids, device)
        if apart is not None:
            recheck.adapter(content / ADAPTER, base, apart, device)


def save_adapter(model: PeftModel, folder: Path) -> None:
    """The adapter alone, in peft's format, without a trace of where the base model was."""
    for settings in model.peft_config.values():
        settings.base_model_name_or_path = ""
    cycles = cycles_of(model)
    pairs = 1
    if cycles is not None and cycles.finished:
        pairs += len(cycles.finished)
        save_whole_adapter(model, folder)
    else:
        # "auto" would ask the hub about the base model's vocabulary; the adapters made here never touch embeddings.
        model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            settings[name] = sorted(value)
    path.write_bytes(readable(settings))
    virtual = virtual_tokens(model)
    # Of virtual tokens what their network makes is saved, not the network.
    saved = [p for p in model.parameters() if p.requires_grad] if virtual is None else [virtual.values]
    _check_files([folder / "adapter_model.safetensors"], len(saved), pairs * sum(one.numel() for one in saved))


def verify(folder: Path, model: PreTrainedModel) -> None:
    """Open the written model again. Raises DataError if a weight is missing, of another shape or not finite."""
    read_model_config(folder)
    # In memory experts are one tensor, in files one for each: what `save_pretrained` made of them is what is expected.
    expected = revert_weight_conversion(model, _distinct(model.state_dict()))
    _check_files(weight_files(folder), len(expected), sum(tensor.numel() for tensor in expected.values()))


def _distinct(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One name per storage: tied weights are written once."""
    seen: dict[tuple[int, torch.Size], str] = {}
    for name, tensor in state.items():
        seen.setdefault((tensor.data_ptr(), tensor.shape), name)
    return {name: state[name] for name in seen.values()}


def _check_files(paths: list[Path], tensors: int, elements: int) -> None:
    found_tensors = found_elements = 0
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_tensor(name)
                found_tensors += 1
                found_elements += tensor.numel()
                if not torch.isfinite(tensor).all():
                    raise DataError(
                        f"export: weight {name} in {path.name} is not finite: the trained value does not fit the "
                        f"number format {tensor.dtype}; train with a lower learning rate"
                    )
    if (found_tensors, found_elements) != (tensors, elements):
        raise SftError(
            f"export: {', '.join(path.name for path in paths)} hold {found_tensors} tensors with {found_elements} "
            f"elements, the model has {tensors} with {elements}: the disk may be full or damaged"
        )


def _generation_config(base: Path, model: PreTrainedModel, stop_ids: list[int]) -> GenerationConfig:
    """The base model's generation config with every stop token among the ends of a sequence."""
    if (base / "generation_config.json").is_file():
        config = GenerationConfig.from_pretrained(base, local_files_only=True)
    else:
        config = GenerationConfig.from_model_config(model.config)
    known = config.eos_token_id
    ends = [] if known is None else [known] if isinstance(known, int) else list(known)
    ends += [token for token in stop_ids if token not in ends]
    config.eos_token_id = ends[0] if len(ends) == 1 else ends or None
    return config


def _copy_tokenizer(base: Path, folder: Path) -> None:
    """Tokenizer, chat template and the like, byte for byte as in the base model."""
    for path in sorted(base.iterdir()):
        written = (folder / path.name).exists() or path.name.endswith(".index.json")
        if path.is_file() and path.suffix in _COPIED and not written:
            shutil.copyfile(path, folder / path.name)
