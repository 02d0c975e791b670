"""The import stage: a GGUF file, a model on the hub or a model folder -> one folder of safetensors in the store.

    python -m jobs.data.importer        under the environment of `sftjobs.program`

Every other stage reads only what this stage leaves, so it holds no trace of where the model came from, and the same
source gives the same bytes.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from jobs.data.gguf_file import read_once
from jobs.data.model_folder import context_length, write_model_folder
from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.errors import DataError
from sftjobs.plan.configs import ImportConfig
from sftjobs.program import Program, main

_MAGIC = b"GGUF"
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model"]


def run(program: Program) -> None:
    """Import the model; counts: parameters, context_length, hidden_size, num_layers, vocab_size, architecture."""
    logging.disable_progress_bar()
    config = ImportConfig.model_validate(program.plan.config)
    torch.set_num_threads(program.plan.resources.threads_per_process)
    with tempfile.TemporaryDirectory(prefix="import-") as scratch:
        model, tokenizer = _open(program, config, Path(scratch))
        renderer = Renderer(tokenizer)  # gives a tokenizer without chat template a default one, which is saved with it
        if renderer.warning:
            print(f"warning: {renderer.warning}", flush=True)
        program.progress("write", 0, unit="parameters")
        write_model_folder(model, tokenizer, program.content)
    written = model.num_parameters()
    program.progress("check", 0, written, "parameters")
    counts = _reopen(program.content, written)
    program.write_counts(counts)
    program.progress("done", written, written, "parameters")
    print(f"imported {counts['architecture']}: {written:,} parameters, context {counts['context_length']:,} tokens")


def _open(program: Program, config: ImportConfig, scratch: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    dtype = getattr(torch, config.dtype)
    program.progress("read", 0, unit="parameters")
    if config.format == "gguf":
        return _open_gguf(program.input_file("source"), dtype)
    folder = program.input("source") if config.format == "folder" else _download(program, config, scratch)
    return load_model(folder, dtype), load_tokenizer(folder)


def _open_gguf(file: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The weights as plain numbers. Without `dequantize` transformers would refuse to save them again."""
    with file.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise DataError(f"{file.name}: not a GGUF file: it does not begin with {_MAGIC.decode()}")
    try:
        with read_once():
            model = AutoModelForCausalLM.from_pretrained(
                file.parent,
                gguf_file=file.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=dtype,
                local_files_only=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    except (ValueError, KeyError, IndexError, NotImplementedError, OSError) as error:
        raise DataError(
            f"{file.name}: this GGUF file cannot be converted: {type(error).__name__}: {error}. The file may be cut "
            "short, or transformers may not know its architecture; a folder of safetensors of the same model works too"
        ) from error
    tokenizer.name_or_path = file.name
    return model, tokenizer


def _download(program: Program, config: ImportConfig, scratch: Path) -> Path:
    """The snapshot of the hub at the planned revision, without code and pickles."""
    from jobs.data.hub import download

    assert config.repository is not None
    download(program, config.repository, config.revision, "model", _HUB_FILES, scratch)
    return scratch


def _reopen(folder: Path, written: int) -> dict[str, Any]:
    """Open what was written as every later stage does, and count it."""
    model = load_model(folder, torch.bfloat16)
    Renderer(load_tokenizer(folder))
    config = model.config.get_text_config()
    found = model.num_parameters()
    if found != written:
        raise DataError(f"the written model has {found:,} parameters, its source {written:,}: the import is damaged")
    return {
        "architecture": type(model).__name__,
        "parameters": found,
        "context_length": context_length(model),
        "hidden_size": config.hidden_size,
        "num_layers": config.num_hidden_layers,
        "vocab_size": config.vocab_size,
    }


if __name__ == "__main__":
    main(run)
