"""P13 prompts that leave no room for the answer, P15 prompts that are rendered differently elsewhere."""

from collections.abc import Iterator
from typing import Literal

from sftjobs.lint.facts import Facts
from sftjobs.lint.finding import Finding, Part
from sftjobs.spec.prompt import PromptSpec


def room(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P13: constant part + longest input > context - answer budget, in tokens.

    A hint if all examples fit, because long prompts have short answers so far.
    """
    if facts.context_tokens is None or facts.longest_prompt_tokens is None:
        return
    answer = facts.answer_tokens or 0
    left = facts.context_tokens - answer
    limits = f"{facts.context_tokens:,} tokens of context less {answer:,} for the answer"
    if facts.constant_tokens is not None and facts.constant_tokens >= left:
        message = f"the constant part alone has {facts.constant_tokens:,} tokens, and there are {limits}"
        fix = "shorten system, instruction and worked examples"
        yield Part((), "").finding("P13", "error", message, fix)
    elif facts.longest_prompt_tokens > left:
        many = f" ({facts.long_prompts:,} prompts are too long)" if facts.long_prompts else ""
        message = f"the longest prompt has {facts.longest_prompt_tokens:,} tokens, and there are {limits}{many}"
        fix = "shorten the inputs in the data or the prompt, or raise data.max_tokens if the model's context allows it"
        severity: Literal["warning", "hint"] = "warning" if facts.long_prompts else "hint"
        yield Part(("input",), prompt.input).finding("P13", severity, message, fix)


def templates(prompt: PromptSpec, facts: Facts) -> Iterator[Finding]:
    """P15: another chat template at training than where the model is compared or served."""
    for who, other in facts.other_templates.items():
        if facts.template_hash is not None and other != facts.template_hash:
            message = f"the chat template of training ({facts.template_hash[:12]}) is not that of {who} ({other[:12]})"
            fix = "use the tokenizer that the run exports; what was trained with one template is asked with the same"
            yield Part((), "").finding("P15", "warning", message, fix)
    if prompt.system is not None and not facts.has_system_role:
        message = "the chat template has no system role: system is put before the first user message"
        fix = "do the same where the model is served (the exported template does), or move the text to `instruction`"
        yield Part(("system",), prompt.system).finding("P15", "hint", message, fix)
