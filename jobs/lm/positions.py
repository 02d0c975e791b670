"""How many tokens a model has positions for."""

from transformers import PretrainedConfig

from sftjobs.errors import DataError
from sftjobs.plan.positions import beyond


def context_length(config: PretrainedConfig) -> int | None:
    """Tokens that a model can see at once; None if its config does not say."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)  # n_positions of GPT-2 has this name too
    return None if found is None else int(found)


def check_positions(config: PretrainedConfig, longest: int, virtual: int = 0) -> None:
    """Raises DataError if an example of `longest` tokens, behind `virtual` ones, has more than the model was made for.

    A model with learned positions (GPT-2) has no row for them and would stop with an index error in the middle of the
    training; one with rotary positions would go on, with positions that it never saw.
    """
    limit = context_length(config)
    problem = None if limit is None else beyond(longest, virtual, limit)
    if problem is not None:
        raise DataError(problem)
