"""The train program under its environment contract: equal to the stock Trainer, and repeatable."""

import itertools
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from jobs.train.__main__ import run, training_order
from jobs.train.examples import read_training_set
from sftjobs import names
from sftjobs.errors import CheckpointError, DataError
from sftjobs.names import Exit
from sftjobs.plan.configs import LoraConfig, TrainConfig
from sftjobs.plan.types import Operation
from sftjobs.program import Stopped
from tests.support.program_runner import Outcome, run_here
from tests.support.training import LORA, losses, padded, stop_after, train_config, training_data, tree

DROPOUT = LoraConfig(rank=4, alpha=8, dropout=0.2, target="attention")


def train(config: TrainConfig, base: Path, data: Path, work: Path, **more: object) -> Outcome:
    return run_here(run, "jobs.train", config, {"model": base, "data": data}, work, **more)  # type: ignore[arg-type]


class _Losses(TrainerCallback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_log(self, args: object, state: object, control: object, logs: dict[str, float], **_: object) -> None:
        if "loss" in logs:
            self.values.append(logs["loss"])


def stock_losses(config: TrainConfig, base: Path, data: Path, scratch: Path) -> list[float]:
    """The stock Trainer on the very same batches: padded rows, logits at every position, its own loss."""
    renderer = Renderer(load_tokenizer(base))
    examples = read_training_set(data / "train.jsonl", renderer, config.max_tokens)
    order = training_order(config, examples)
    rows = [index for step in range(config.steps) for index in order.batch(step)]

    class Sequential(Trainer):
        def _get_train_sampler(self, train_dataset: object = None) -> torch.utils.data.Sampler[int]:
            return torch.utils.data.SequentialSampler(rows)

    def collate(indices: list[int]) -> dict[str, torch.Tensor]:
        return padded(examples, indices)

    seen = _Losses()
    arguments = TrainingArguments(
        output_dir=str(scratch),
        per_device_train_batch_size=config.micro_batch_size,
        max_steps=config.steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
    )
    model = load_model(base)
    Sequential(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[seen]).train()
    return seen.values


def test_every_step_has_the_loss_of_the_stock_trainer(base: Path, tmp_path: Path) -> None:
    data = training_data(tmp_path / "data", examples=40)
    config = train_config("full", examples=40, weight_decay=0.1)
    ours = losses(train(config, base, data, tmp_path / "work"))
    assert len(ours) == 20
    assert ours[-1] < ours[0]
    assert ours == pytest.approx(stock_losses(config, base, data, tmp_path / "stock"), rel=1e-5)


def test_the_cut_into_micro_batches_does_not_matter(base: Path, data: Path, tmp_path: Path) -> None:
    """22 examples in batches of 8: answers of unequal length, and a last batch of 6."""
    whole, halves, ones = (
        train(
            train_config(micro_batch_size=micro, gradient_accumulation_steps=8 // micro),
            base,
            data,
            tmp_path / str(micro),
        )
        for micro in (8, 4, 1)
    )
    assert len(losses(whole)) == 6
    assert losses(halves) == pytest.approx(losses(whole), rel=1e-5)
    assert losses(ones) == pytest.approx(losses(whole), rel=1e-5)
    assert whole.report("train")["layout"]["shared_prefix"] == 6
    assert ones.report("train")["layout"]["shared_prefix"] == 0
    assert ones.counts | {"final_loss": 0} == whole.counts | {"final_loss": 0}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_stopped_training_ends_with_the_same_bytes(method: str, base: Path, data: Path, tmp_path: Path) -> None:
    config = train_config(method, lora=DROPOUT if method == "lora" else None)
    undisturbed = train(config, base, data, tmp_path / "undisturbed")
    resume, work = None, tmp_path
    for step in (1, 5, config.steps):
        work = tmp_path / f"until-{step}"
        with pytest.raises(Stopped, match=f"saved after step {step} of {config.steps}"):
            train(config, base, data, work, resume=resume, change=stop_after(step))
        assert not any((work / "output" / names.CONTENT).iterdir())
        resume = work / "checkpoints" / names.step_folder(step)
    resumed = train(config, base, data, tmp_path / "resumed", resume=resume)
    assert tree(resumed.content) == tree(undisturbed.content)
    assert losses(resumed) == losses(undisturbed)
    assert resumed.counts == undisturbed.counts


def test_checkpoints_by_time_hold_only_what_is_needed(base: Path, data: Path, tmp_path: Path) -> None:
    config = train_config()
    saved = train(config, base, data, tmp_path / "a", operation=Operation(checkpoint_every_s=0))
    folders = sorted(path.name for path in saved.checkpoints.iterdir())
    assert folders == [names.step_folder(step) for step in range(1, config.steps + 1)]
    part = saved.checkpoints / folders[3] / names.rank_folder(0)
    assert sorted(path.name for path in part.iterdir()) == ["checkpoint.json", "optimizer.pt", "weights.safetensors"]
    assert all("lora_" in name for name in load_file(part / "weights.safetensors"))
    resumed = train(config, base, data, tmp_path / "b", resume=part.parent)
    assert tree(resumed.content) == tree(saved.content)
    assert not any(train(config, base, data, tmp_path / "c").checkpoints.iterdir())


def test_nothing_is_saved_while_two_checkpoints_wait_for_their_upload(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sftjobs.program.Program.may_save", False)
    often = Operation(checkpoint_every_s=0)
    assert not list(train(train_config(), base, data, tmp_path, operation=often).checkpoints.iterdir())


def test_saving_by_the_clock_takes_a_small_part_of_the_time(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a save is slow, the interval grows."""
    monkeypatch.setattr("jobs.train.edge.SAVE_SHARE", 1e-9)
    clock = itertools.count(step=2.0)  # every look at it is two seconds later
    monkeypatch.setattr("jobs.train.edge.time.monotonic", lambda: next(clock))
    often = Operation(checkpoint_every_s=1)
    assert len(list(train(train_config(), base, data, tmp_path, operation=often).checkpoints.iterdir())) == 1


def test_a_request_to_stop_before_the_first_step_saves_nothing(base: Path, data: Path, tmp_path: Path) -> None:
    def stop(program: object) -> None:
        program.stop_requested = True  # type: ignore[attr-defined]

    with pytest.raises(Stopped, match="before the first step"):
        train(train_config(), base, data, tmp_path, change=stop)
    assert not any((tmp_path / "checkpoints").iterdir())


def test_a_checkpoint_of_another_config_is_refused_before_anything_is_read(
    base: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        train(train_config(), base, data, tmp_path / "a", change=stop_after(2))
    checkpoint = tmp_path / "a" / "checkpoints" / names.step_folder(2)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    with pytest.raises(CheckpointError, match="belongs to stage key") as caught:
        train(train_config(learning_rate=0.5), nothing, nothing, tmp_path / "b", resume=checkpoint)
    assert caught.value.exit_code == Exit.BAD_CHECKPOINT == 11
    (checkpoint / names.rank_folder(0) / "checkpoint.json").write_text('{"format": 0}')
    with pytest.raises(CheckpointError, match="format 0, this version reads 2"):
        train(train_config(), base, data, tmp_path / "c", resume=checkpoint)
    (checkpoint / names.rank_folder(0) / "checkpoint.json").write_text('{"format": 2, "step": 2}')
    with pytest.raises(CheckpointError, match=r"rank-00000/checkpoint\.json is incomplete"):
        train(train_config(), base, data, tmp_path / "d", resume=checkpoint)


def test_a_loss_that_is_not_a_number_names_step_and_examples(base: Path, data: Path, tmp_path: Path) -> None:
    config = train_config("full", learning_rate=1e30, warmup_steps=0)
    with pytest.raises(DataError, match=r"training step 2: .*nothing was exported.*intent-\d+") as caught:
        train(config, base, data, tmp_path)
    assert caught.value.exit_code == Exit.BAD_CONFIG
    assert "train.learning_rate" in str(caught.value)
    assert not any((tmp_path / "output" / names.CONTENT).iterdir())


def test_bfloat16_is_autocast_over_float32_weights(base: Path, data: Path, tmp_path: Path) -> None:
    config = train_config(precision="bfloat16", steps=3)
    exact = losses(train(train_config(steps=3), base, data, tmp_path / "a"))
    rounded = train(config, base, data, tmp_path / "b", operation=Operation(checkpoint_every_s=0))
    assert losses(rounded) == pytest.approx(exact, rel=2e-2)
    assert losses(rounded) != exact
    part = rounded.checkpoints / names.step_folder(3) / names.rank_folder(0)
    assert {value.dtype for value in load_file(part / "weights.safetensors").values()} == {torch.float32}


def test_general_examples_are_mixed_in(base: Path, tmp_path: Path) -> None:
    data = training_data(tmp_path / "data", examples=8, general=30)
    config = train_config(examples=8, general_ratio=1.0, epochs=2.0, steps=8)
    outcome = train(config, base, data, tmp_path / "work")
    assert outcome.counts["examples_seen"] == 32


@pytest.mark.parametrize(
    "text, changes, message",
    [
        ("", {}, "train.jsonl: no examples"),
        ('{"id": "a", "task": "intent"\n', {}, "train.jsonl:1: not an example"),
        ('{"id": "a", "messages": []}\n', {}, "train.jsonl:1: not an example of the data stage: KeyError"),
        (None, {"max_tokens": 20}, "data.max_tokens is 20"),
        (None, {"steps": 1000}, "gives 12 steps over all epochs, the plan has 1000"),
    ],
)
def test_data_that_does_not_fit_the_plan(
    text: str | None, changes: dict[str, int], message: str, base: Path, tmp_path: Path
) -> None:
    data = training_data(tmp_path / "data")
    if text is not None:
        (data / "train.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        train(train_config(**changes), base, data, tmp_path / "work")


@pytest.mark.parametrize(
    "remove, message",
    [
        ("model.safetensors", "no weights: expected model.safetensors"),
        ("config.json", "config.json is missing"),
        ("tokenizer.json", "without tokenizer"),
    ],
)
def test_an_incomplete_model_folder(remove: str, message: str, data: Path, base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "incomplete"
    folder.mkdir()
    for path in base.iterdir():
        if path.name != remove:
            os.link(path, folder / path.name)
    with pytest.raises(DataError, match=message):
        train(train_config(), folder, data, tmp_path / "work")


def test_a_model_with_missing_weights_is_never_trained(base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    state = {name: value for name, value in model.state_dict().items() if "layers.1.mlp" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(DataError, match=r"lack 3 weights of LlamaForCausalLM: model\.layers\.1\.mlp"):
        load_model(tmp_path)


def test_progress_and_report(base: Path, data: Path, tmp_path: Path) -> None:
    config = train_config(lora=LORA)
    outcome = train(config, base, data, tmp_path)
    steps = [line for line in outcome.progress if line["phase"] == "train"]
    assert [line["step"] for line in steps] == list(range(1, config.steps + 1))
    assert {"loss", "tokens_per_s", "learning_rate", "t"} <= set(steps[0])
    assert {line["total"] for line in steps} == {config.steps}
    assert [line["learning_rate"] for line in steps][:2] == [0.0, config.learning_rate]
    report = outcome.report("train")
    assert report["reasons"] == {"learning_rate": "given by the test"}
    assert report["summary"] == "one line of arithmetic"
    assert len(report["curve"]) == config.steps
    assert report["layout"]["encoded_tokens"] < report["layout"]["padded_tokens"]
    assert set(report["seconds"]) == {"read and render", "open the model", "train", "export"}
    counts = outcome.counts
    assert counts["examples_seen"] == 44
    assert counts["trainable_parameters"] == 4096
    assert counts["steps"] == config.steps == 12
    assert len(counts["template_hash"]) == 64
