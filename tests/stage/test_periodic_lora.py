"""PeriodicLoRA: cycles of LoRA whose updates go into the weights. What must not change, and what must."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn

from jobs.lm.load import load_model
from jobs.train.__main__ import run
from jobs.train.checkpoint import load_optimizer
from jobs.train.cycles import adapter_of, cycles_of, layers_of, unload
from jobs.train.export import ADAPTER, MODEL
from jobs.train.methods import METHODS
from jobs.train.methods.periodic_lora import cycle_ends
from jobs.train.model import open_for_training
from sftjobs import names
from sftjobs.plan.configs import DevConfig
from sftjobs.plan.types import Operation
from sftjobs.program import Stopped
from tests.support.eval_data import loss_of
from tests.support.program_runner import Outcome, run_here
from tests.support.slow import mostly_slow
from tests.support.training import LORA, PERIODIC, fill_adapter, losses, stop_after, train_config, training_data, tree

# peft 0.21 asks transformers 5.23 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ADAPTER_FILE = Path(ADAPTER) / "adapter_model.safetensors"
DROPOUT = PERIODIC.model_copy(update={"dropout": 0.2})


def train(base: Path, data: Path, work: Path, method: str = "periodic_lora", **more: Any) -> Outcome:
    given = {name: more.pop(name) for name in ("change", "resume", "operation") if name in more}
    return run_here(run, "jobs.train", train_config(method, **more), {"model": base, "data": data}, work, **given)


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = model.eval()(input_ids=torch.arange(3, 23)[None]).logits
    return out


def rank(matrix: Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix.double(), rtol=1e-5))


def test_the_end_of_a_cycle_leaves_what_the_model_says_and_begins_anew(base: Path) -> None:
    config = train_config("periodic_lora")
    torch.manual_seed(5)
    model = open_for_training(base, config)
    fill_adapter(model)
    optimizer = torch.optim.AdamW(adapter_of(model).values(), lr=1e-3)
    model(input_ids=torch.arange(3, 23)[None]).logits.sum().backward()
    optimizer.step()
    before, random = logits(model), torch.get_rng_state()
    old = {name: value.detach().clone() for name, value in adapter_of(model).items()}
    end = cycle_ends(config)[0]
    METHODS["periodic_lora"].after_step(model, optimizer, end - 1, config)
    assert optimizer.state and cycles_of(model).finished == []  # type: ignore[union-attr]
    METHODS["periodic_lora"].after_step(model, optimizer, end, config)
    torch.testing.assert_close(logits(model), before, rtol=1e-6, atol=1e-6)
    assert (before - logits(load_model(base))).abs().max() > 1e-3
    assert not optimizer.state
    assert torch.equal(torch.get_rng_state(), random), "the order of data and dropout does not depend on cycles"
    for name, value in adapter_of(model).items():
        assert not value.any() if "lora_B" in name else (value.any() and not torch.equal(value, old[name]))
    (pairs,) = cycles_of(model).finished  # type: ignore[union-attr]
    assert all(torch.equal(pairs[name], value) for name, value in old.items())


def test_the_rank_of_the_whole_update_grows_with_the_cycles(base: Path) -> None:
    """Up to T r, of an update with r = 4 in layers of 32."""
    model = open_for_training(base, train_config("periodic_lora"))
    assert isinstance(model, PeftModel)
    layer = next(layers_of(model))
    start, weight = layer.get_base_layer().weight.clone(), layer.get_base_layer().weight
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        layer.reset_lora_parameters("default", init_lora_weights=True)
        fill_adapter(model)
        unload(model)
        found.append(rank((weight - start).detach()))
    assert found == [4, 8, 12]


def test_one_cycle_is_lora(base: Path, data: Path, tmp_path: Path) -> None:
    one = train(base, data, tmp_path / "one", lora=PERIODIC.model_copy(update={"cycles": 1}))
    plain = train(base, data, tmp_path / "plain", "lora", lora=LORA)
    assert losses(one) == losses(plain)
    assert tree(one.content) == tree(plain.content)


def test_schedule_and_adapter_begin_again_in_each_cycle(base: Path, data: Path, tmp_path: Path) -> None:
    """12 steps in 3 cycles of 4, each with a warm-up of one step and the whole of a cosine."""
    outcome = train(base, data, tmp_path, operation=Operation(checkpoint_every_s=0))
    rates = [point["learning_rate"] for point in outcome.report("train")["curve"]]
    assert rates[0:4] == rates[4:8] == rates[8:12]
    assert rates[0] == 0 and rates[1] == 1e-2 and 0 < rates[3] < rates[2] < 1e-2
    saved, moments = {}, {}
    for step in (3, 4, 8, 12):
        part = outcome.checkpoints / names.step_folder(step) / names.rank_folder(0)
        saved[step] = load_file(part / "weights.safetensors")
        moments[step] = load_optimizer(part.parent)[0]["state"]
    assert moments[3] and moments[12] and not moments[4] and not moments[8]
    of_cycle = {step: {name.partition(".")[0] for name in state} for step, state in saved.items()}
    assert [sum("cycle-" in name for name in of_cycle[step]) for step in (3, 4, 8, 12)] == [0, 1, 2, 2]
    assert not any(value.any() for name, value in saved[4].items() if "lora_B" in name and "cycle-" not in name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_exported_is_the_sum_of_all_cycles(base: Path, data: Path, precision: str, tmp_path: Path) -> None:
    outcome = train(base, data, tmp_path, precision=precision)
    config = PeftConfig.from_pretrained(str(outcome.content / ADAPTER))
    assert (config.r, config.lora_alpha) == (12, 24)  # type: ignore[attr-defined]
    merged = load_model(outcome.content / MODEL)
    apart = PeftModel.from_pretrained(load_model(base), str(outcome.content / ADAPTER))
    torch.testing.assert_close(logits(merged), logits(apart), rtol=1e-4, atol=1e-4)
    assert loss_of(tmp_path / "tuned", model=outcome.content / MODEL) != loss_of(tmp_path / "plain", model=base)
    plain = dict(load_model(base).named_parameters())
    name, weight = next((name, value) for name, value in merged.named_parameters() if "q_proj" in name)
    assert rank((weight - plain[name]).detach()) == 12
    differences = outcome.report("train")["export"]["differences"]
    assert set(differences) == {"merged adapter", "adapter on the base model", "exported model"}


@pytest.mark.parametrize("step", mostly_slow([3, 4, 6, 8, 12], 4))
def test_a_stopped_training_ends_with_the_same_bytes(base: Path, data: Path, step: int, tmp_path: Path) -> None:
    """Inside a cycle and at its end."""
    undisturbed = train(base, data, tmp_path / "undisturbed", lora=DROPOUT)
    with pytest.raises(Stopped, match=f"saved after step {step} of 12"):
        train(base, data, tmp_path / "part", lora=DROPOUT, change=stop_after(step))
    checkpoint = tmp_path / "part" / "checkpoints" / names.step_folder(step)
    resumed = train(base, data, tmp_path / "resumed", lora=DROPOUT, resume=checkpoint)
    assert losses(resumed) == losses(undisturbed)
    assert tree(resumed.content) == tree(undisturbed.content)


@pytest.mark.parametrize("best_at", mostly_slow([3, 5, 12], 3))
def test_the_best_weights_may_be_those_of_an_earlier_cycle(
    base: Path, best_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was the best is exported, though the weights have changed since; from a checkpoint as well."""
    data = training_data(tmp_path / "data")
    shutil.copyfile(data / "train.jsonl", data / "dev.jsonl")
    dev = DevConfig(every_steps=1, metric=None, max_new_tokens=4, patience=None, max_examples=50)
    monkeypatch.setattr("jobs.train.keep.goodness", lambda look: (float(look.step == best_at), -look.loss))
    ended_there = train(base, data, tmp_path / "ended", dev=dev, operation=Operation(checkpoint_every_s=0))
    with pytest.raises(Stopped):
        train(base, data, tmp_path / "part", dev=dev, keep="best", change=stop_after(9))
    checkpoint = tmp_path / "part" / "checkpoints" / names.step_folder(9)
    found = train(base, data, tmp_path / "found", dev=dev, keep="best", resume=checkpoint)
    assert found.counts["kept_step"] == best_at
    part = ended_there.checkpoints / names.step_folder(best_at) / names.rank_folder(0)
    state = load_file(part / "weights.safetensors")
    exported = load_file(found.content / ADAPTER_FILE)
    name = next(name for name in exported if "q_proj.lora_A" in name)
    in_model = name.replace("lora_A", "lora_A.default")
    cycles = [state[key] for key in sorted(state) if key.endswith(in_model) and key.startswith("cycle-")]
    assert torch.equal(exported[name], torch.cat([*cycles, state[in_model]]))
