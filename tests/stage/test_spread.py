"""A model over several places: layers on a plan that fits, and the same answers and losses wherever they are."""

from pathlib import Path

import pytest
import torch

from jobs.lm.generate import generate
from jobs.lm.layout import Sequences
from jobs.lm.learned_prefix import VirtualTokens, learned_prefix
from jobs.lm.load import load_model
from jobs.lm.score import score
from jobs.lm.spread import spread
from sftjobs.errors import DataError
from tests.support.tiny import tiny_model

PROMPTS = [[5, 6, 7, 8, *rest] for rest in ([9, 10], [11], [12, 13, 14])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"), layers=6)


def test_layers_are_whole_in_order_and_even(folder: Path) -> None:
    placed = spread(folder, torch.float32, {0: 2**20, 1: 2**20, 2: 2**20})
    layers = [next(gpu for name, gpu in placed.items() if f"model.layers.{n}".startswith(name)) for n in range(6)]
    assert layers == sorted(layers)
    assert set(layers) == {0, 1, 2}
    assert placed == spread(folder, torch.float32, {0: 2**20, 1: 2**20, 2: 2**20})


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"do not fit 0\.0 \+ 0\.0 GiB: give resources\.eval\.gpus_per_node more GPUs"):
        spread(folder, torch.float32, {0: 2**16, 1: 2**16})


def test_answers_and_losses_do_not_depend_on_the_places(folder: Path, tmp_path: Path) -> None:
    """Half of the layers come from the disk when they compute, through the hooks that move layers between GPUs."""
    alone = load_model(folder)
    places = {f"model.layers.{n}": "disk" if n >= 3 else "cpu" for n in range(6)}
    places |= {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "disk", "lm_head": "cpu"}
    apart = load_model(folder, device_map=places, offload_folder=str(tmp_path))
    assert any(value.is_meta for value in apart.parameters())
    values = torch.randn(3, 6 * 2 * 2 * 8, generator=torch.Generator().manual_seed(1))
    found = []
    for model in (alone, apart):
        before = learned_prefix(model, VirtualTokens("PREFIX_TUNING", values))
        made = [
            generate(model, PROMPTS, stop_ids=[2], max_new_tokens=6, batch_size=2, before=start)
            for start in (None, before)
        ]
        scored = score(model, Sequences(PROMPTS, [[-100] * 4 + row[4:] for row in PROMPTS]))
        found.append(([answer.ids for one in made for answer in one.answers], [one.losses for one in scored.scores]))
        assert made[0].saved_tokens > 0
    (answers, losses), (other_answers, other_losses) = found
    assert answers == other_answers
    for one, other in zip(losses, other_losses, strict=True):
        assert one == pytest.approx(other, rel=1e-6)
