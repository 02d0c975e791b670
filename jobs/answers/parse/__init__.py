"""What a model's text says, by the output format that the prompt asks for."""

from jobs.answers.parse.base import CLASSES, FailureClass, Parse, Parsed, Parser, after_thoughts, failed
from jobs.answers.parse.label import LabelParser
from jobs.answers.parse.structured import JsonParser
from jobs.answers.parse.text import any_text, pattern_parser
from sftjobs.spec.prompt import PromptSpec

__all__ = ["CLASSES", "FailureClass", "Parse", "Parsed", "Parser", "failed", "parser"]


def parser(prompt: PromptSpec) -> Parser:
    """The parser of the prompt's output format. Raises DataError if its pattern or schema cannot be used."""
    output = prompt.output
    if output.format == "label":
        return after_thoughts(LabelParser(prompt.labels))
    if output.format == "json":
        return after_thoughts(JsonParser(output.json_schema))
    if output.format == "regex":
        return after_thoughts(pattern_parser(output.pattern))
    return after_thoughts(any_text)
