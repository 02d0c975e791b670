"""Prompt tuning, P-tuning and prefix tuning: what is trained is what is evaluated, and what peft computes."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import DynamicCache

from jobs.lm.generate import generate
from jobs.lm.layout import Sequences
from jobs.lm.learned_prefix import flattened, learned_prefix, read_virtual_tokens
from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from jobs.lm.score import score
from jobs.train.__main__ import run
from jobs.train.determinism import make_repeatable
from jobs.train.examples import read_training_set
from jobs.train.export import ADAPTER, save_adapter
from jobs.train.generator import generator, virtual_tokens
from jobs.train.model import open_for_training, parameter_counts
from sftjobs import names
from sftjobs.errors import DataError
from sftjobs.plan.configs import DevConfig, MetricConfig, PromptLearningConfig
from sftjobs.program import Stopped
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.train import PROMPT_LEARNING
from tests.support.architectures import make_model
from tests.support.eval_data import label_examples, loss_of
from tests.support.program_runner import Outcome, run_here
from tests.support.slow import mostly_slow
from tests.support.tiny import tiny_model
from tests.support.training import (
    PROMPTS,
    VIRTUAL,
    WITH_MLP,
    losses,
    padded,
    stop_after,
    train_config,
    training_data,
    tree,
)

# peft 0.21 asks transformers 5.23 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TOKENS = VIRTUAL.virtual_tokens
LSTM = VIRTUAL.model_copy(update={"encoder": "lstm", "encoder_size": 8})
KINDS = [
    pytest.param("prompt_tuning", VIRTUAL, id="prompt_tuning"),
    pytest.param("p_tuning", WITH_MLP, id="p_tuning"),
    pytest.param("p_tuning", LSTM, id="p_tuning-lstm"),
    pytest.param("prefix_tuning", VIRTUAL, id="prefix_tuning"),
    pytest.param("prefix_tuning", WITH_MLP, id="prefix_tuning-mlp"),
]
RATE = 3e-2
IDS = torch.arange(3, 23)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random model whose attention tells tokens apart: one of small numbers looks at all alike, so what
    stands before a prompt would hardly matter."""
    folder = tiny_model(tmp_path_factory.mktemp("base"))
    model = load_model(folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(4 if "embed" in name else 10)
    model.save_pretrained(folder)
    return folder


def opened(base: Path, method: str, settings: PromptLearningConfig | None = None) -> Any:
    torch.manual_seed(5)
    return open_for_training(base, train_config(method, prompt_learning=settings or PROMPTS[method]))


def train(method: str, base: Path, data: Path, work: Path, change: Any = None, **more: Any) -> Outcome:
    resume = more.pop("resume", None)
    operation = more.pop("operation", None)
    config = train_config(method, **{"learning_rate": RATE, **more})
    inputs = {"model": base, "data": data}
    return run_here(run, "jobs.train", config, inputs, work, change=change, resume=resume, operation=operation)


def logits(model: nn.Module, **more: Any) -> Tensor:
    with torch.no_grad():
        out: Tensor = model.eval()(input_ids=IDS, **more).logits
    return out


@pytest.mark.parametrize("method", ["prompt_tuning", "p_tuning"])
def test_embeddings_of_virtual_tokens_stand_before_those_of_the_prompt(base: Path, method: str) -> None:
    """[e_1 .. e_P, x_1 .. x_n] (section 2 of Lester et al.), handed to the base model by hand."""
    model, plain = opened(base, method), load_model(base)
    learned = model.get_prompt_embedding_to_save("default")
    together = torch.cat([learned, plain.get_input_embeddings()(IDS[0])])[None]
    with torch.no_grad():
        expected = plain(inputs_embeds=together).logits
    torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-5)


def test_a_prefix_is_keys_and_values_of_every_layer(base: Path) -> None:
    """[P, layers, (key, value), heads, size], attended to by every token (equation 3 of Li and Liang), by hand."""
    model, plain = opened(base, "prefix_tuning"), load_model(base)
    config = plain.config
    learned = model.get_prompt_embedding_to_save("default")
    parts = learned.view(TOKENS, config.num_hidden_layers, 2, config.num_key_value_heads, -1)
    cache = DynamicCache()
    for layer in range(config.num_hidden_layers):
        keys, values = (parts[:, layer, which].transpose(0, 1)[None].contiguous() for which in (0, 1))
        cache.update(keys, values, layer)
    expected = logits(plain, past_key_values=cache)
    torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["prompt_tuning", "prefix_tuning"])
def test_training_begins_with_what_tokens_of_the_vocabulary_do(base: Path, method: str) -> None:
    """Behind P tokens of the vocabulary the base model says the same."""
    model, plain = opened(base, method), load_model(base)
    table = plain.get_input_embeddings().weight
    found = model.get_prompt_embedding_to_save("default")
    if method == "prompt_tuning":
        ids = [int((table == row).all(dim=1).nonzero()[0]) for row in found]
    else:
        torch.manual_seed(5)
        opened(base, method)
        ids = _drawn(base)
    with torch.no_grad():
        expected = plain(input_ids=torch.cat([torch.tensor([ids]), IDS], dim=1)).logits[:, TOKENS:]
    torch.testing.assert_close(logits(model)[:, -IDS.shape[1] :], expected, rtol=1e-5, atol=1e-5)


def _drawn(base: Path) -> list[int]:
    """The tokens whose keys and values a new prefix holds: those with the same first key."""
    model = opened(base, "prefix_tuning")
    first = model.get_prompt_embedding_to_save("default")
    plain = load_model(base)
    ids: list[int] = []
    for place in range(TOKENS):
        rows = torch.tensor([[*ids, token] for token in range(plain.config.vocab_size)])
        with torch.no_grad():
            cache = plain(input_ids=rows, use_cache=True).past_key_values
        keys = cache.layers[0].keys[:, :, place].flatten(1)
        wanted = first[place].view(plain.config.num_hidden_layers, 2, -1)[0, 0]
        ids.append(int((keys - wanted).abs().sum(dim=1).argmin()))
    return ids


@pytest.mark.parametrize(
    ("method", "settings", "count"),
    [
        ("prompt_tuning", VIRTUAL, lambda n, h, k: n * h),
        ("p_tuning", WITH_MLP, lambda n, h, k: n * h + 3 * (h * h + h)),
        ("p_tuning", LSTM, lambda n, h, k: n * h + 2 * 4 * (8 * (h + 8) + 16 + 8 * (16 + 8) + 16) + 16 * 17 + 17 * h),
        ("prefix_tuning", VIRTUAL, lambda n, h, k: n * 2 * 2 * k),
        ("prefix_tuning", WITH_MLP, lambda n, h, k: n * k + (k * h + h) + (h + 1) * 2 * 2 * k),
    ],
)
def test_parameters_are_as_many_as_the_formula_says(
    base: Path, method: str, settings: PromptLearningConfig, count: Any
) -> None:
    """P virtual tokens, hidden size 32, 2 layers, keys of 2 heads of 8."""
    model = opened(base, method, settings)
    assert parameter_counts(model)[0] == count(TOKENS, 32, 16)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(name.startswith("prompt_encoder.") for name in trained)


@pytest.mark.parametrize(("method", "settings"), KINDS)
def test_losses_are_those_of_the_plain_forward_pass(
    base: Path, data: Path, method: str, settings: PromptLearningConfig, tmp_path: Path
) -> None:
    """The first step's loss against peft with labels, which moves them behind the virtual tokens itself."""
    outcome = train(method, base, data, tmp_path, prompt_learning=settings, micro_batch_size=22, epochs=1.0)
    make_repeatable(3, 1)
    model = open_for_training(base, train_config(method, prompt_learning=settings))
    examples = read_training_set(data / "train.jsonl", Renderer(load_tokenizer(base)), 512)
    batch = padded(examples, list(range(22)))
    if method == "prefix_tuning":
        labels = batch.pop("labels")
        scores = model(**batch).logits[:, :-1]
        expected = nn.functional.cross_entropy(scores.flatten(0, 1), labels[:, 1:].flatten())
    else:
        expected = model(**batch).loss
    assert losses(outcome)[0] == pytest.approx(expected.item(), rel=1e-5)
    layout = outcome.report("train")["layout"]
    assert layout["shared_prefix_refused"] == "virtual tokens stand at the start of each row"
    assert layout["shared_prefix"] == 0


@pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")  # said by peft's own generate()
@pytest.mark.parametrize(("method", "settings"), KINDS)
def test_answers_are_those_of_peft(base: Path, method: str, settings: PromptLearningConfig, tmp_path: Path) -> None:
    """Greedy answers of our engine on the exported adapter, against peft's generate() on one prompt after another."""
    model = opened(base, method, settings)
    torch.manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "embedding" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    save_adapter(model, tmp_path / "adapter")
    renderer = Renderer(load_tokenizer(base))
    prompts = renderer.prompts([example["messages"] for example in label_examples(6)])
    plain = load_model(base)
    before = learned_prefix(plain, read_virtual_tokens(tmp_path / "adapter"))
    ours = generate(plain, prompts, stop_ids=[2], max_new_tokens=8, batch_size=4, before=before)
    assert ours.saved_tokens > 100
    stock = PeftModel.from_pretrained(load_model(base), str(tmp_path / "adapter"))
    for prompt, answer in zip(prompts, ours.answers, strict=True):
        ids = torch.tensor([prompt])
        out = stock.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=8,
            do_sample=False,
            eos_token_id=2,
            pad_token_id=0,
        )
        new = out[0, len(prompt) :].tolist()
        assert answer.ids == (new[: new.index(2)] if 2 in new else new)
    without = generate(plain, prompts, stop_ids=[2], max_new_tokens=8, batch_size=4)
    assert [one.ids for one in without.answers] != [one.ids for one in ours.answers]


@pytest.mark.parametrize("method", PROMPT_LEARNING)
def test_scores_are_those_of_peft(base: Path, data: Path, method: str) -> None:
    model = opened(base, method)
    examples = read_training_set(data / "train.jsonl", Renderer(load_tokenizer(base)), 512)
    rows = [examples.token_ids[i].tolist() for i in range(6)]
    labels = [examples.labels[i].tolist() for i in range(6)]
    plain, before = generator(model.eval())
    found = score(plain, Sequences(rows, labels), before=before).scores
    for row, label, one in zip(rows, labels, found, strict=True):
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([row])).logits[0, -len(row) : -1]
        expected = nn.functional.cross_entropy(scores, torch.tensor(label[1:]), reduction="sum")
        assert one.summed == pytest.approx(expected.item(), rel=1e-4)


def test_a_prefix_can_be_flattened_and_read_back(base: Path) -> None:
    model = opened(base, "prefix_tuning")
    tokens = virtual_tokens(model)
    assert tokens is not None
    torch.testing.assert_close(flattened(learned_prefix(load_model(base), tokens)), tokens.values)


@pytest.mark.parametrize("precision", mostly_slow(["float32", "bfloat16"], "float32"))
@pytest.mark.parametrize(("method", "settings"), KINDS)
def test_it_trains_exports_and_is_evaluated(
    base: Path, data: Path, method: str, settings: PromptLearningConfig, precision: str, tmp_path: Path
) -> None:
    outcome = train(method, base, data, tmp_path / "train", prompt_learning=settings, precision=precision, epochs=6.0)
    assert losses(outcome)[-1] < losses(outcome)[0] - 0.1
    assert sorted(tree(outcome.content)) == ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"]
    assert str(tmp_path) not in (outcome.content / "adapter/adapter_config.json").read_text()
    assert set(outcome.report("train")["export"]["differences"]) == {
        "adapter on the base model",
        "virtual tokens before the prompt",
    }
    tuned = loss_of(tmp_path / "tuned", model=base, adapter=outcome.content / ADAPTER)
    assert tuned != loss_of(tmp_path / "plain", model=base)


@pytest.mark.parametrize(("method", "settings"), KINDS)
def test_a_stopped_training_ends_with_the_same_bytes(
    base: Path, data: Path, method: str, settings: PromptLearningConfig, tmp_path: Path
) -> None:
    """From the trainer's checkpoint, which holds the network as well; the adapter does not."""
    undisturbed = train(method, base, data, tmp_path / "undisturbed", prompt_learning=settings)
    with pytest.raises(Stopped):
        train(method, base, data, tmp_path / "part", prompt_learning=settings, change=stop_after(4))
    checkpoint = tmp_path / "part" / "checkpoints" / names.step_folder(4)
    kept = load_file(checkpoint / names.rank_folder(0) / "weights.safetensors")
    assert sum(value.numel() for value in kept.values()) == undisturbed.counts["trainable_parameters"]
    resumed = train(method, base, data, tmp_path / "resumed", prompt_learning=settings, resume=checkpoint)
    assert tree(resumed.content) == tree(undisturbed.content)
    assert losses(resumed) == losses(undisturbed)


@pytest.mark.parametrize("method", PROMPT_LEARNING)
def test_looks_see_what_the_exported_adapter_does(base: Path, tmp_path: Path, method: str) -> None:
    """Losses and answers behind the virtual tokens of that moment; the best ones are kept over a stop."""
    data = training_data(tmp_path / "data")
    shutil.copyfile(data / "train.jsonl", data / "dev.jsonl")
    prompt = PromptSpec.model_validate({"system": "s", "input": "{text}", "output": {"format": "free"}})
    (data / "prompt.json").write_text(prompt.model_dump_json())
    metric = MetricConfig(name="chrf")
    dev = DevConfig(every_steps=3, metric=metric, max_new_tokens=4, patience=None, max_examples=50)
    undisturbed = train(method, base, data, tmp_path / "undisturbed", dev=dev, keep="best")
    looks = undisturbed.report("train")["dev"]["looks"]
    assert len({look["loss"] for look in looks}) == len(looks) == 5
    examples = read_training_set(data / "dev.jsonl", Renderer(load_tokenizer(base)), 512)
    sequences = Sequences([row.tolist() for row in examples.token_ids], [row.tolist() for row in examples.labels])
    plain = load_model(base)
    before = learned_prefix(plain, read_virtual_tokens(undisturbed.content / ADAPTER))
    found = score(plain, sequences, before=before).scores
    kept = next(look for look in looks if look["step"] == undisturbed.counts["kept_step"])
    assert kept["loss"] == pytest.approx(sum(one.summed for one in found) / sum(examples.supervised), rel=1e-4)
    with pytest.raises(Stopped):
        train(method, base, data, tmp_path / "part", dev=dev, keep="best", change=stop_after(8))
    checkpoint = tmp_path / "part" / "checkpoints" / names.step_folder(8)
    resumed = train(method, base, data, tmp_path / "resumed", dev=dev, keep="best", resume=checkpoint)
    assert tree(resumed.content) == tree(undisturbed.content)


def test_an_architecture_that_cannot_go_on_after_keys_and_values_is_refused(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    make_model("gemma2").save_pretrained(base)
    with pytest.raises(
        DataError, match=r"train.method: prefix_tuning needs a model that can go on .*'gemma2'.*use lora"
    ):
        opened(base, "prefix_tuning")


def test_virtual_tokens_count_in_the_context(data: Path, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", context=60)
    with pytest.raises(DataError, match=r"has \d+ tokens and 5 virtual ones before it, the model has positions for 60"):
        train("prompt_tuning", base, data, tmp_path / "work")


def test_the_template_of_a_base_model_without_one_is_beside_the_adapter(data: Path, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", template=None)
    outcome = train("prompt_tuning", base, data, tmp_path / "work")
    renderer = Renderer(load_tokenizer(base))
    assert renderer.warning is not None
    template = (outcome.content / ADAPTER / "chat_template.jinja").read_text()
    assert template == renderer.tokenizer.get_chat_template()


def test_an_adapter_of_another_kind_is_refused(base: Path, data: Path, tmp_path: Path) -> None:
    outcome = run_here(run, "jobs.train", train_config("lora"), {"model": base, "data": data}, tmp_path)
    with pytest.raises(DataError, match="peft_type is 'LORA', expected one of PROMPT_TUNING"):
        read_virtual_tokens(outcome.content / ADAPTER)
