"""Placeholders of a prompt: `{{ column }}`. Nothing else is special in a template."""

import re
from collections.abc import Mapping

LABELS = "labels"
"""In `system` and `instruction`: the list of labels with their definitions."""
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
"""Its group 1 is the name."""


def placeholders(template: str) -> list[str]:
    """Names in order of first appearance."""
    return list(dict.fromkeys(PLACEHOLDER.findall(template)))


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with every placeholder replaced, in one pass. Raises KeyError with the name of a missing value."""
    return PLACEHOLDER.sub(lambda match: values[match.group(1)], template)
