"""Examples and virtual tokens in the positions of a model: each way out is one that can be gone."""

import json
from pathlib import Path
from typing import Any

import pytest

from sftjobs.plan.positions import beyond, context_in


@pytest.mark.parametrize(
    ("longest", "virtual", "way_out"),
    [
        (512, 0, None),
        (492, 20, None),
        (513, 0, "set data.max_tokens to at most 512"),
        (500, 20, "set train.prompt_learning.virtual_tokens to at most 12 or data.max_tokens to at most 492"),
        (344, 600, "set train.prompt_learning.virtual_tokens to at most 168"),
        (600, 20, "set data.max_tokens to at most 492"),
        (512, 512, "set both lower, or take a model with a longer context"),
    ],
)
def test_ways_out(longest: int, virtual: int, way_out: str | None) -> None:
    found = beyond(longest, virtual, 512)
    assert (None if found is None else found.split(": ")[1]) == way_out


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 2048}}, 2048),
        ({}, None),
        ({"max_position_embeddings": None}, None),
        ([], None),
    ],
)
def test_positions_of_a_folder(tmp_path: Path, config: Any, positions: int | None) -> None:
    assert context_in(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    assert context_in(tmp_path) == positions
