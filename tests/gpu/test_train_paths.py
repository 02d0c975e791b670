"""Every way to compute a training on a GPU learns what the CPU learns in float32, up to the rounding of the format."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names
from sftjobs.plan.configs import Device
from sftjobs.plan.types import Operation
from tests.support.program_runner import Outcome, run_program
from tests.support.training import LORA, losses, train_config, tree

DROPOUT = LORA.model_copy(update={"dropout": 0.1})
BFLOAT16 = {"precision": "bfloat16"}
FLASH = {**BFLOAT16, "attention": "flash_attention_2"}
needs_flash = pytest.mark.skipif(find_spec("flash_attn") is None, reason="flash-attn is not installed")
needs_liger = pytest.mark.skipif(find_spec("liger_kernel") is None, reason="liger-kernel is not installed")
on_cpu_too = pytest.mark.on_cpu_too
PATHS = [
    pytest.param({}, 1e-4, id="float32", marks=on_cpu_too),
    pytest.param({"attention": "sdpa"}, 1e-4, id="sdpa", marks=on_cpu_too),
    pytest.param({"attention": "eager"}, 1e-4, id="eager", marks=on_cpu_too),
    pytest.param({"packing": True}, 1e-4, id="packed rows", marks=on_cpu_too),
    pytest.param({"activation_checkpointing": True}, 1e-4, id="activation checkpointing", marks=on_cpu_too),
    pytest.param({"compile": True}, 1e-3, id="compile"),
    pytest.param({"compile": True, "activation_checkpointing": True}, 1e-3, id="compile, activation checkpointing"),
    pytest.param({"attention": "flex"}, 1e-3, id="flex"),
    pytest.param({"attention": "flex", "activation_checkpointing": True}, 1e-3, id="flex, activation checkpointing"),
    pytest.param({"liger": True}, 1e-3, id="liger", marks=needs_liger),
    pytest.param(BFLOAT16, 3e-2, id="bfloat16", marks=on_cpu_too),
    pytest.param({**BFLOAT16, "attention": "flex"}, 3e-2, id="flex, bfloat16"),
    pytest.param({**BFLOAT16, "liger": True}, 3e-2, id="liger, bfloat16", marks=needs_liger),
    pytest.param(FLASH, 3e-2, id="flash", marks=needs_flash),
    pytest.param({**FLASH, "packing": "if_possible"}, 3e-2, id="flash, packed rows", marks=needs_flash),
]
METHODS = ("full", "lora")


def trained(work: Path, inputs: dict[str, Path], *, resume: Path | None = None, **settings: Any) -> Outcome:
    """A training in a process of its own: the CPU and the GPU are never mixed in one."""
    operation = Operation(checkpoint_every_s=0) if settings.pop("save", False) else None
    config = train_config(**settings)
    outcome = run_program("jobs.train", config, inputs, work, operation=operation, resume=resume, timeout_s=600)
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    return outcome


@pytest.fixture(scope="module")
def on_cpu(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Losses of each method on the CPU in float32."""
    folder = tmp_path_factory.mktemp("on-cpu")
    return {method: losses(trained(folder / method, inputs, method=method)) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("settings", "tolerance"), PATHS)
def test_losses_are_those_of_the_cpu(
    settings: dict[str, Any],
    tolerance: float,
    method: str,
    device: Device,
    inputs: dict[str, Path],
    on_cpu: dict[str, list[float]],
    tmp_path: Path,
) -> None:
    found = trained(tmp_path, inputs, method=method, device=device, **settings)
    assert losses(found) == pytest.approx(on_cpu[method], rel=tolerance)
    assert losses(found)[-1] < losses(found)[0]
    layout = found.report("train")["layout"]
    if settings.get("attention") == "flex":
        assert layout["shared_prefix"] > 0 and layout["shared_prefix_refused"] is None


@pytest.mark.on_cpu_too
@pytest.mark.parametrize("method", ["full", "qlora"])
def test_a_training_that_goes_on_is_that_of_one_piece(
    method: str, device: Device, inputs: dict[str, Path], tmp_path: Path
) -> None:
    """The paged optimizer's state in a checkpoint, too. On a GPU not every kernel repeats its last digit."""
    settings: dict[str, Any] = {"method": method, "device": device, **BFLOAT16}
    if method == "qlora" and device == "cuda":
        settings["optimizer"] = "paged_adamw"
    whole = trained(tmp_path / "whole", inputs, save=True, **settings)
    checkpoint = tmp_path / "whole" / "checkpoints" / names.step_folder(5)
    resumed = trained(tmp_path / "resumed", inputs, resume=checkpoint, **settings)
    assert losses(resumed) == pytest.approx(losses(whole), rel=1e-3)
    if device == "cpu":
        assert tree(resumed.content) == tree(whole.content)


@pytest.mark.on_cpu_too
def test_qlora_learns_what_it_learns_on_the_cpu(device: Device, inputs: dict[str, Path], tmp_path: Path) -> None:
    """With the paged optimizer on a GPU. Both dequantise the same weights of 4 bits."""
    paged = {"optimizer": "paged_adamw"} if device == "cuda" else {}
    found = trained(tmp_path / "found", inputs, method="qlora", device=device, **paged)
    wanted = trained(tmp_path / "wanted", inputs, method="qlora")
    assert losses(found) == pytest.approx(losses(wanted), rel=1e-2)


@pytest.mark.on_cpu_too
def test_checkpointed_layers_have_the_same_dropout(device: Device, inputs: dict[str, Path], tmp_path: Path) -> None:
    found = [
        losses(trained(tmp_path / str(on), inputs, device=device, lora=DROPOUT, activation_checkpointing=on))
        for on in (False, True)
    ]
    assert found[1] == pytest.approx(found[0], rel=1e-5)
