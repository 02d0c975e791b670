"""What the data stage knows about the data, as plain counts: the rules that need data look at nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Collision:
    """Values of one placeholder in which a delimiter of the prompt occurs (P08)."""

    column: str
    delimiter: str
    examples: int
    first_line: int | None = None
    """Of the first such record."""


@dataclass(frozen=True)
class Facts:
    """Counts over the examples that are trained on. What was not counted keeps its default, and no rule speaks."""

    examples: int = 0
    """Examples that were looked at."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Answer -> examples, for output format label; answers outside the label set as well."""
    difficulties: Mapping[str, int] = field(default_factory=dict)
    """Difficulty -> examples."""
    collisions: tuple[Collision, ...] = ()
    """From `sftjobs.lint.delimiters.CollisionCounter`."""
    malformed_answers: int = 0
    """Answers that are not in the prompt's output format."""
    malformed_reason: str = ""
    """Why, of the first of them."""
    longest_answer_characters: int | None = None
    longest_answer_words: int | None = None
    constant_tokens: int | None = None
    """Tokens that all prompts share: system, instruction, worked examples."""
    longest_prompt_tokens: int | None = None
    """Tokens of the longest prompt, its input included."""
    context_tokens: int | None = None
    """Longest conversation that model and `data.max_tokens` allow."""
    answer_tokens: int | None = None
    """Tokens that must stay free for the answer."""
    long_prompts: int = 0
    """Prompts longer than `context_tokens` - `answer_tokens`."""
    special_tokens: tuple[str, ...] = ()
    """Special tokens of the model's tokenizer, as text."""
    role_token_examples: int = 0
    """Examples with a special token inside a question or an answer."""
    template_hash: str | None = None
    """Hash of the chat template that training uses."""
    other_templates: Mapping[str, str] = field(default_factory=dict)
    """Who else renders prompts (`eval.compare_to`, the model served today) -> hash of its chat template."""
    has_system_role: bool = True
    """Does the chat template take a system message?"""
    answer_opening: str | None = None
    """The text that the template puts right before an answer."""
    style_follows: float | None = None
    """Share of answers that follow the declared style; None if none is declared."""
    style_reasons: tuple[str, ...] = ()
    """With a declared style, the most frequent reasons; without, in what answers differ (jobs/data/uniformity.py)."""
