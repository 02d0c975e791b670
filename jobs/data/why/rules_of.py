"""Which rules look at a record, in their order, and what the config says is done about each."""

from jobs.data.rules import NAMES
from sftjobs.plan.configs import DataConfig

ORDER: tuple[str, ...] = (
    # while the record is read and becomes an example
    "bad_record", "label", "empty_answer", "answer_format", "review", "length", "echo", "role_tokens", "alphanumeric",
    "special_characters", "unbalanced", "boilerplate", "flagged_words", "pii", "repetition", "language", "style",
    "same_id",
    # when all are read
    "duplicate", "near_duplicate", "conflict", "held_out_exact", "held_out_near", "cut_answer", "repeated_phrase",
    "held_out_ngram", "too_long", "nothing_to_learn", "label_noise", "mismatch", "max_per_label", "max_examples",
    "held_out_max", "not_selected",
)  # fmt: skip
"""Rules in the order in which they look at a record."""
_NOT_ON_HELD_OUT = {
    "conflict", "held_out_exact", "held_out_near", "held_out_ngram", "label_noise", "mismatch", "max_per_label",
    "max_examples", "not_selected",
}  # fmt: skip
_ONLY_HELD_OUT = {"held_out_max"}


def looks_at(rule: str, split: str) -> bool:
    """Whether a rule looks at the records of a set."""
    return rule not in (_NOT_ON_HELD_OUT if split == "held_out" else _ONLY_HELD_OUT)


def actions(config: DataConfig) -> dict[str, str]:
    """Rule -> what is done about what it finds: `stop`, `drop`, `flag`, `off`, or another word of the config."""
    clean = config.clean
    given = {rule: str(getattr(clean, rule)) for rule in NAMES if rule in type(clean).model_fields}
    form = config.prompt.output.format
    limits = list(config.tasks.values())
    return given | {
        "bad_record": config.on_bad_record,
        "same_id": config.on_bad_record,
        "review": "drop" if config.corrections else "off",
        "label": given["label"] if form == "label" else "off",
        "answer_format": given["answer_format"] if form in ("json", "regex") else "off",
        "flagged_words": given["flagged_words"] if clean.flagged_words_file else "off",
        "style": "off" if config.prompt.style == type(config.prompt.style)() else given["style"],
        "duplicate": config.duplicates.exact,
        "near_duplicate": config.duplicates.near,
        "conflict": {"keep": "flag"}.get(config.duplicates.conflicts, "drop"),
        **dict.fromkeys(("held_out_exact", "held_out_near", "held_out_ngram"), config.decontaminate.action),
        "too_long": config.overlength,
        "nothing_to_learn": "drop",
        "label_noise": config.denoise.labels if form == "label" else "off",
        "mismatch": "off" if form == "label" else config.denoise.answers,
        "max_per_label": "drop" if any(one.max_per_label for one in limits) else "off",
        "max_examples": "drop" if any(one.max_examples for one in limits) else "off",
        "held_out_max": "drop" if config.held_out_max else "off",
        "not_selected": "drop" if config.select else "off",
    }
