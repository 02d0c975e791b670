"""The prompt file: a prompt in three parts (system, instruction, input) with labels and the form of the answer."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sftjobs.model import Document


class OutputSpec(Document):
    """The form of the model's answer."""

    format: Literal["label", "json", "regex", "free"] = "free"
    """`label`: exactly one of `labels`; `json`: a JSON value; `regex`: text that matches `pattern`;
    `free`: any text."""
    pattern: str | None = None
    """For `regex`: the Python pattern that the whole answer must match."""
    json_schema: dict[str, Any] | None = None
    """For `json`: a JSON Schema that the answer must satisfy."""


class PromptExample(Document):
    """One worked example inside the prompt."""

    input: dict[str, str]
    """Values for the placeholders of `input`."""
    output: str
    """The expected answer."""


class StyleSpec(Document):
    """How an answer is written (docs/answer-style.md)."""

    parts: list[Literal["restate", "answer", "summarise"]] = []
    """What an answer consists of, in this order: restate the question, answer it, summarise."""
    min_characters: Annotated[int, Field(ge=1)] | None = None
    """Shortest answer; unset means no limit."""
    max_characters: Annotated[int, Field(ge=1)] | None = None
    """Longest answer; unset means no limit."""
    language: Literal["zh", "en"] | None = None
    """Language of every answer; unset means any."""


class PromptSpec(Document):
    """How a record becomes a conversation. `{{ column }}` stands for a column of the record.

    In `system` and `instruction`, `{{ labels }}` stands for the list of labels with their definitions.
    """

    system: str | None = None
    """System message: who the model is. Constant: no column may appear."""
    instruction: str | None = None
    """Rules and definitions, put before the input in the user message. Constant: no column may appear."""
    input: Annotated[str, Field(min_length=1)]
    """Template of what varies, e.g. `Message: {{ text }}`."""
    labels: dict[str, str] = {}
    """Labels with their definitions; needed for output format `label`."""
    output: OutputSpec = OutputSpec()
    """The form of the answer."""
    style: StyleSpec = StyleSpec()
    """How an answer is written; checked in the data by `data.clean.style`."""
    examples: list[PromptExample] = []
    """Worked examples, put between instruction and input."""
