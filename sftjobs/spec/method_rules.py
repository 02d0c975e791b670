"""Rules about `train.method` and what it can be combined with."""

from collections.abc import Iterator

from sftjobs.errors import Problem
from sftjobs.spec.source import Written
from sftjobs.spec.train import LORA_FAMILY, PROMPT_LEARNING, MethodName

Problems = Iterator[Problem]
_ENCODERS: dict[MethodName, tuple[str, ...]] = {"p_tuning": ("mlp", "lstm"), "prefix_tuning": ("mlp",)}


def problems(written: Written) -> Problems:
    """Everything that the rules find."""
    for rule in (lora, prompt_learning, encoder, packing, server):
        yield from rule(written)


def lora(written: Written) -> Problems:
    """No setting without effect."""
    train = written.spec.train
    if train.method not in ("auto", *LORA_FAMILY):
        if "lora" in train.model_fields_set:
            message = f"has no effect with method {train.method}; remove it, or set method: lora"
            yield written.run.problem(("train", "lora"), message)
    elif train.method != "lora_plus" and train.lora.learning_rate_ratio is not None:
        message = f"has no effect with method {train.method}; remove it, or set method: lora_plus"
        yield written.run.problem(("train", "lora", "learning_rate_ratio"), message)
    elif train.method != "periodic_lora" and train.lora.cycles is not None:
        message = f"has no effect with method {train.method}; remove it, or set method: periodic_lora"
        yield written.run.problem(("train", "lora", "cycles"), message)


def prompt_learning(written: Written) -> Problems:
    """No setting without effect."""
    train = written.spec.train
    if train.method not in PROMPT_LEARNING and "prompt_learning" in train.model_fields_set:
        message = f"has no effect with method {train.method}; remove it, or set method: prefix_tuning"
        yield written.run.problem(("train", "prompt_learning"), message)


def encoder(written: Written) -> Problems:
    """The network that makes virtual tokens is one that the method knows."""
    train, where = written.spec.train, ("train", "prompt_learning")
    if train.method not in PROMPT_LEARNING:
        return
    wanted, known = train.prompt_learning.encoder, _ENCODERS.get(train.method, ())
    if wanted is not None and wanted not in known:
        others = f"use {' or '.join(known)}, or remove the key" if known else "it trains the virtual tokens themselves"
        way_out = others if known else f"{others}: remove the key, or set method: p_tuning"
        yield written.run.problem((*where, "encoder"), f"method {train.method} has no encoder {wanted}; {way_out}")
    elif train.prompt_learning.encoder_size is not None and wanted is None and train.method != "p_tuning":
        message = f"has no effect without encoder, and method {train.method} has none unless asked; remove it"
        yield written.run.problem((*where, "encoder_size"), message)


def packing(written: Written) -> Problems:
    """Virtual tokens stand before each row, not before each example of a row."""
    train = written.spec.train
    if train.packing is True and train.method in PROMPT_LEARNING:
        message = (
            f"true does not go with method {train.method}: its virtual tokens stand at the start of a row, so only the "
            "first example of a packed row would have them; remove the key"
        )
        yield written.run.problem(("train", "packing"), message)


def server(written: Written) -> Problems:
    """A server is given a model folder, and these methods leave none."""
    train = written.spec.train
    if train.method in PROMPT_LEARNING and not isinstance(written.spec.eval.engine, str):
        message = (
            f"a server cannot answer with what method {train.method} leaves: an adapter of virtual tokens, no model "
            "folder; use engine: transformers, or a method of the LoRA family"
        )
        yield written.run.problem(("eval", "engine"), message)
