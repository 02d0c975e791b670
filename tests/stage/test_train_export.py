"""What a training publishes: an adapter and a model that others can open, with nothing of this machine in it."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from jobs.lm.load import load_model, stored_dtype
from jobs.lm.render import Renderer, load_tokenizer
from jobs.train.__main__ import run
from jobs.train.examples import read_training_set
from jobs.train.export import export, verify
from jobs.train.recheck import Recheck
from sftjobs.errors import DataError, SftError
from tests.support.architectures import make_model
from tests.support.program_runner import Outcome, run_here
from tests.support.tiny import tiny_model
from tests.support.training import train_config, tree


def half_precision(folder: Path) -> Path:
    tiny_model(folder)
    AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    return folder


def train(method: str, base: Path, data: Path, work: Path) -> Outcome:
    return run_here(run, "jobs.train", train_config(method), {"model": base, "data": data}, work)


def logits(model: nn.Module) -> torch.Tensor:
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=ids).logits
    return found


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own
def test_adapter_on_the_base_equals_the_merged_model(data: Path, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    outcome = train("lora", base, data, tmp_path / "work")
    before = logits(load_model(base))
    tuned = PeftModel.from_pretrained(load_model(base), str(outcome.content / "adapter"))
    after = logits(tuned)
    assert (after - before).abs().max() > 0.05
    merged = load_model(outcome.content / "model")
    assert torch.allclose(logits(merged), after, atol=1e-5)


def test_full_tuning_leaves_a_model_only(data: Path, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    outcome = train("full", base, data, tmp_path / "work")
    assert [path.name for path in outcome.content.iterdir()] == ["model"]
    assert outcome.counts["trainable_parameters"] == outcome.counts["total_parameters"]
    state, old = load_file(outcome.content / "model/model.safetensors"), load_file(base / "model.safetensors")
    assert state.keys() == old.keys()
    assert all((state[name] != old[name]).any() for name in state)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_model_is_written_in_the_format_of_the_base(method: str, data: Path, tmp_path: Path) -> None:
    base = half_precision(tmp_path / "base")
    outcome = train(method, base, data, tmp_path / "work")
    folder = outcome.content / "model"
    assert stored_dtype(folder) == torch.bfloat16
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (base / name).read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answer = AutoModelForCausalLM.from_pretrained(folder).generate(
        **tokenizer("Message:", return_tensors="pt"), max_new_tokens=2
    )
    assert answer.shape[1] >= 3


@pytest.mark.parametrize("method", ["lora", "full"])
def test_nothing_of_this_machine_is_in_the_artifact(method: str, data: Path, tmp_path: Path) -> None:
    one = train(method, tiny_model(tmp_path / "here/base"), data, tmp_path / "one")
    other = train(method, tiny_model(tmp_path / "there/base"), data, tmp_path / "other")
    assert tree(one.content) == tree(other.content)
    for path in one.content.rglob("*.json"):
        assert str(tmp_path) not in path.read_text()
    if method == "lora":
        settings = json.loads((one.content / "adapter/adapter_config.json").read_text())
        assert settings["base_model_name_or_path"] == ""
        assert settings["target_modules"] == sorted(settings["target_modules"])


def test_an_answer_ends_where_training_ended_it(tmp_path: Path) -> None:
    """A base model that only knows the end of text gets the end of the turn as well."""
    base = tiny_model(tmp_path / "base")
    config = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": 0}))
    export(load_model(base), base, [2], tmp_path / "out")
    assert json.loads((tmp_path / "out/model/generation_config.json").read_text())["eos_token_id"] == [0, 2]


def test_weights_that_overflow_the_format_are_refused(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base).to(torch.float16).save_pretrained(base)
    model = load_model(base)
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 3] = 1e6
    with pytest.raises(DataError, match=r"embed_tokens.weight in model.safetensors is not finite.*float16"):
        export(model, base, [2], tmp_path / "out")


def test_a_file_that_lacks_a_tensor_is_noticed(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    model = load_model(base)
    verify(base, model)
    state = {name: value for name, value in model.state_dict().items() if "layers.1" not in name}
    model.save_pretrained(base, state_dict=state)
    with pytest.raises(SftError, match="the disk may be full or damaged"):
        verify(base, model)


@pytest.mark.parametrize("method, precision", [("lora", "float32"), ("lora", "bfloat16"), ("full", "bfloat16")])
def test_what_is_written_says_what_was_trained(method: str, precision: str, data: Path, tmp_path: Path) -> None:
    base = half_precision(tmp_path / "base")
    config = train_config(method, precision=precision)
    outcome = run_here(run, "jobs.train", config, {"model": base, "data": data}, tmp_path / "work")
    section = outcome.report("train")["export"]
    compared = {"exported model"} | ({"merged adapter", "adapter on the base model"} if method == "lora" else set())
    assert set(section["differences"]) == compared
    assert max(section["differences"].values()) < 1e-4
    assert [answer["id"] for answer in section["answers"]] == ["intent-0", "intent-5"]


@pytest.mark.parametrize("damaged", ["model/model.safetensors", "adapter/adapter_model.safetensors"])
def test_files_that_say_something_else_are_noticed(damaged: str, data: Path, tmp_path: Path) -> None:
    """Whole files with finite numbers, but one tensor is not the trained one."""
    base = tiny_model(tmp_path / "base")
    outcome = train("lora", base, data, tmp_path / "work")
    examples = read_training_set(data / "train.jsonl", Renderer(load_tokenizer(base)), 512)
    path = outcome.content / damaged
    state = load_file(path)
    name = next(name for name in sorted(state) if "layers.1" in name and "proj" in name)
    right, cpu = Recheck.on(examples), torch.device("cpu")
    expected = right.logits(load_model(outcome.content / "model"))
    right.model(outcome.content / "model", expected, [2], cpu)
    right.adapter(outcome.content / "adapter", base, expected, cpu)
    save_file({**state, name: state[name] + 0.5}, path, metadata={"format": "pt"})
    wrong = Recheck.on(examples)
    with pytest.raises(SftError, match="differs from what was trained: a logit on training examples intent-0"):
        wrong.model(outcome.content / "model", expected, [2], cpu)
        wrong.adapter(outcome.content / "adapter", base, expected, cpu)


@pytest.mark.parametrize(("name", "attention"), [("gemma2", "eager"), ("qwen2", "sdpa")])
def test_a_model_is_opened_with_the_attention_that_it_can_have(tmp_path: Path, name: str, attention: str) -> None:
    make_model(name).save_pretrained(tmp_path)
    assert load_model(tmp_path).config._attn_implementation == attention
