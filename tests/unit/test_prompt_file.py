"""What a person sees for each mistake in a prompt file, and that docs/prompt-file.md is right."""

import re
from pathlib import Path

import pytest
import yaml

from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.template import fill, placeholders
from tests.support.run_folder import RUN, RunFolder

LABELS = "labels: {payment: about money, delivery: about parcels}\noutput: {format: label}\n"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    for name in ("train.jsonl", "held_out.jsonl"):
        folder.write(name, '{"text": "a", "label": "delivery", "output": "x"}\n')
    return folder


MISTAKES = {
    'input: "Ticket"\n' + LABELS: (
        "1: input: no placeholder: every example would be the same; write for example {{ text }} for the column text"
    ),
    'system: "You read {{ text }}"\ninput: "{{ text }}"\n' + LABELS: (
        "1: system: {{ text }} cannot stand here: system is constant; move it to input"
    ),
    'instruction: "{{labels}}"\ninput: "{{ text }}"\n': (
        "1: instruction: {{ labels }} needs labels; add `labels:` with a definition for each"
    ),
    'input: "{{ text }}"\noutput: {format: label}\n': (
        "2: output.format: label needs at least two labels, there are none; add `labels:` with a definition for each"
    ),
    'input: "{{ text }}"\nlabels: {a: x}\noutput: {format: label}\n': (
        "3: output.format: label needs at least two labels, there is one; add `labels:` with a definition for each"
    ),
    'input: "{{ text }}"\nlabels: [a, b]\n': "2: labels: this is a list; expected a mapping of names to text",
    'input: "{{ text }}"\nlabels: {" a": x, b: y}\n': "2: labels. a: a label is text without spaces around it",
    'input: "{{ text }}"\noutput: {format: regex}\n': (
        "2: output.format: regex needs a pattern, for example pattern: '[A-Z]{3}[0-9]+'"
    ),
    'input: "{{ text }}"\noutput: {format: regex, pattern: "a(b"}\n': (
        "2: output.pattern: 'a(b' is not a regular expression: missing ), unterminated subpattern at position 1"
    ),
    'input: "{{ text }}"\noutput: {pattern: a}\n': (
        "2: output.pattern: only for output format regex, and this is free; remove it or change the format"
    ),
    'input: "{{ text }}"\noutput: {json_schema: {type: object}}\n': (
        "2: output.json_schema: only for output format json, and this is free; remove it or change the format"
    ),
    'input: "{{ text }}"\noutput: {format: json, json_schema: {type: text}}\n': (
        "2: output.json_schema: not a JSON Schema: type 'text' is not known; expected object, array, string, number,"
        " integer, boolean or null"
    ),
    'input: "{{ text }}"\noutput: {format: json, json_schema: {properties: [a]}}\n': (
        "2: output.json_schema: not a JSON Schema: properties has to be a mapping of names to schemas"
    ),
    'input: "{{ text }}"\noutput: {format: json}\nexamples: [{input: {text: a}, output: "{a: 1}"}]\n': (
        "3: examples[0].output: '{a: 1}' is not JSON: Expecting property name enclosed in double quotes:"
        " line 1 column 2 (char 1)"
    ),
    'input: "{{ text }}"\noutput: {format: regex, pattern: "[0-9]+"}\nexamples: [{input: {text: a}, output: x}]\n': (
        "3: examples[0].output: 'x' does not match the pattern [0-9]+"
    ),
    'input: "{{ text }}"\n' + LABELS + "examples: [{input: {text: a}, output: delivry}]\n": (
        "4: examples[0].output: 'delivry' is not one of the labels, did you mean delivery?"
    ),
    'input: "{{ text }}"\n' + LABELS + "examples: [{input: {}, output: delivery}]\n": (
        "4: examples[0].input: has no value for the placeholder {{ text }} of input"
    ),
    'input: "{{ text }}"\n' + LABELS + "examples: [{input: {text: a, titel: b}, output: delivery}]\n": (
        "4: examples[0].input.titel: input has no placeholder {{ titel }}; it has text"
    ),
    'input: "{{ text }}"\n' + LABELS + "examples: [{input: {text: 5}, output: delivery}]\n": (
        '4: examples[0].input.text: 5 is a whole number; expected text: put it in quotes, "5"'
    ),
    'input: ""\n' + LABELS: "1: input: this is empty text; expected text that is not empty",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes(run: RunFolder, text: str) -> None:
    assert run.with_prompt(text) == [f"prompt.yaml:{MISTAKES[text]}"]


def test_example_against_its_schema(run: RunFolder) -> None:
    pytest.importorskip("jsonschema")
    schema = "{type: object, required: [id]}"
    example = "examples: [{input: {text: a}, output: '{}'}]"
    text = f'input: "{{{{ text }}}}"\noutput: {{format: json, json_schema: {schema}}}\n{example}\n'
    assert run.with_prompt(text) == [
        "prompt.yaml:3: examples[0].output: '{}' does not satisfy output.json_schema: 'id' is a required property"
    ]


def test_placeholders_in_order_and_once() -> None:
    assert placeholders("{{ b }} {{a}} {{  b }} {{ 内容 }} {{ two words }} { c } {{}}") == [
        "b",
        "a",
        "内容",
        "two words",
    ]


def test_what_is_filled_in_is_not_a_template_again() -> None:
    assert fill("{{ a }}-{{ b }}", {"a": "{{ b }}", "b": "x"}) == "{{ b }}-x"


def test_the_page_shows_every_field_and_files_that_load(run: RunFolder) -> None:
    page = Path("docs/prompt-file.md").read_text(encoding="utf-8")
    for name in PromptSpec.model_fields:
        assert f"`{name}`" in page or f"`{name}." in page
    files = [section for section in re.split(r"^## ", page, flags=re.M) if section.startswith("A whole file")]
    assert len(files) == 2
    for section in files:
        blocks = [block for block in re.findall(r"(?:^(?:    .*)?\n)+", section, flags=re.M) if block.strip()]
        prompt, record = (re.sub(r"^    ", "", block, flags=re.M).strip() + "\n" for block in blocks)
        assert yaml.safe_load(prompt)
        for name in ("train.jsonl", "held_out.jsonl"):
            run.write(name, record)
        run.write("run.yaml", RUN)
        assert run.with_prompt(prompt) == []
