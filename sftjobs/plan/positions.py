"""Whether examples fit into the positions of a model, in words: before a run is started, and before its first step."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def beyond(longest: int, virtual: int, limit: int) -> str | None:
    """What is wrong with examples of up to `longest` tokens behind `virtual` ones, with the ways out; None: nothing."""
    if longest + virtual <= limit:
        return None
    more, ways = "", []
    if virtual:
        more = f" and {virtual:,} virtual ones before it"
        if longest < limit:
            ways.append(f"train.prompt_learning.virtual_tokens to at most {limit - longest}")
    if virtual < limit:
        ways.append(f"data.max_tokens to at most {limit - virtual}")
    way_out = f"set {' or '.join(ways)}" if ways else "set both lower, or take a model with a longer context"
    return f"the longest example has {longest:,} tokens{more}, the model has positions for {limit:,}: {way_out}"


def context_in(folder: Path) -> int | None:
    """Positions of the model in a folder; None if its config.json does not say."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, Mapping):
        return None
    text = config.get("text_config")
    whole: Mapping[str, Any] = {**config, **text} if isinstance(text, Mapping) else config
    found = whole.get("max_position_embeddings", whole.get("n_positions"))
    return found if isinstance(found, int) and found > 0 else None
