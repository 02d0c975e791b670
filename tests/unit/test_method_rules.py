"""What a person sees when something does not go with `train.method`."""

from pathlib import Path

import pytest

from tests.support.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


REFUSED = {
    "train: {method: full, lora: {rank: 8}}": (
        "run.yaml:8: train.lora: has no effect with method full; remove it, or set method: lora"
    ),
    "train: {method: p_tuning, lora: {rank: 8}}": (
        "run.yaml:8: train.lora: has no effect with method p_tuning; remove it, or set method: lora"
    ),
    "train: {method: lora, lora: {learning_rate_ratio: 4}}": (
        "run.yaml:8: train.lora.learning_rate_ratio: has no effect with method lora; remove it, or set "
        "method: lora_plus"
    ),
    "train: {method: lora, lora: {cycles: 4}}": (
        "run.yaml:8: train.lora.cycles: has no effect with method lora; remove it, or set method: periodic_lora"
    ),
    "train: {prompt_learning: {virtual_tokens: 4}}": (
        "run.yaml:8: train.prompt_learning: has no effect with method auto; remove it, or set method: prefix_tuning"
    ),
    "train: {method: prompt_tuning, prompt_learning: {encoder: mlp}}": (
        "run.yaml:8: train.prompt_learning.encoder: method prompt_tuning has no encoder mlp; it trains the "
        "virtual tokens themselves: remove the key, or set method: p_tuning"
    ),
    "train: {method: prefix_tuning, prompt_learning: {encoder: lstm}}": (
        "run.yaml:8: train.prompt_learning.encoder: method prefix_tuning has no encoder lstm; use mlp, "
        "or remove the key"
    ),
    "train: {method: prefix_tuning, prompt_learning: {encoder_size: 64}}": (
        "run.yaml:8: train.prompt_learning.encoder_size: has no effect without encoder, and method prefix_tuning "
        "has none unless asked; remove it"
    ),
    "train: {method: prefix_tuning, packing: true}": (
        "run.yaml:8: train.packing: true does not go with method prefix_tuning: its virtual tokens stand at the "
        "start of a row, so only the first example of a packed row would have them; remove the key"
    ),
    'train: {method: p_tuning}\neval: {engine: {command: [vllm, "{model}", "{port}"]}}': (
        "run.yaml:9: eval.engine: a server cannot answer with what method p_tuning leaves: an adapter of "
        "virtual tokens, no model folder; use engine: transformers, or a method of the LoRA family"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_does_not_go_together(run: RunFolder, text: str) -> None:
    assert run.with_more(f"{text}\n") == [REFUSED[text]]


@pytest.mark.parametrize(
    "train",
    [
        "{method: p_tuning, prompt_learning: {encoder: lstm, encoder_size: 64}}",
        "{method: p_tuning, prompt_learning: {encoder_size: 64}}",
        "{method: prefix_tuning, prompt_learning: {encoder: mlp, encoder_size: 64, virtual_tokens: 8}}",
        "{method: prompt_tuning}",
    ],
)
def test_what_goes_together(run: RunFolder, train: str) -> None:
    assert run.with_more(f"train: {train}\n") == []
