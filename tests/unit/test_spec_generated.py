"""Schemas, field reference and resolved form follow the models."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sftjobs.spec import docs, explain, generated, schema
from sftjobs.spec.cluster import ReleaseValues
from sftjobs.spec.fields import Fields
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.render import render_spec
from sftjobs.spec.run import RunSpec
from sftjobs.spec.scaffold import contents
from sftjobs.spec.yaml_tree import parse
from tests.support.specs import make_spec


def test_generated_files_are_up_to_date() -> None:
    assert generated.outdated(schema.files()) == [], "run `python -m sftjobs.spec.schema`"
    assert generated.outdated(docs.files()) == [], "run `python -m sftjobs.spec.docs`"


def test_every_field_says_what_it_means() -> None:
    for model in (RunSpec, PromptSpec, ReleaseValues):
        fields = Fields(model)
        for name, definition in {"top": fields.at(()), **fields.definitions}.items():
            assert definition is not None
            for field, said in definition["properties"].items():
                assert said.get("description") or "$ref" in said, f"{name}.{field}"


def test_every_required_field_has_an_example() -> None:
    fields = Fields(RunSpec)
    for definition in (fields.at(()), *fields.definitions.values()):
        assert definition is not None
        for name in definition.get("required", []):
            assert name in explain.EXAMPLES


@pytest.mark.parametrize("page", [docs.RUN_PAGE, docs.CLUSTER_PAGE], ids=lambda page: page.path)
def test_the_page_names_every_field(page: docs.Page) -> None:
    text = docs.text(page)
    for path in Fields(page.model).paths():
        if page.elsewhere == "" or not path.startswith(page.elsewhere):
            assert f"`{path.rpartition('.')[2]}`" in text or path.endswith(".env")


def test_the_page_says_what_a_mapping_with_checked_names_holds() -> None:
    assert "| `env` | a mapping of names to text | `{}` |" in docs.text(docs.CLUSTER_PAGE)


def test_the_schema_of_cluster_yaml_refuses_names_that_fit_no_pattern() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(json.loads(schema.cluster_schema_text()))
    checker.check_schema(checker.schema)
    assert checker.is_valid({"labels": {"team": "nlp"}, "queue": None})
    for wrong in ({"labels": {"a b": "c"}}, {"pods": {"all": {"env": {"1A": ""}}}}, {"run": "name: x"}):
        assert not checker.is_valid(wrong), wrong


def test_the_schema_accepts_what_init_writes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    files = contents("tickets", "hf://org/name")
    for file, text in (("run.yaml", schema.run_schema()), ("prompts/tickets.yaml", schema.prompt_schema())):
        checker = jsonschema.Draft202012Validator(json.loads(text))
        checker.check_schema(checker.schema)
        assert list(checker.iter_errors(yaml.safe_load(files[file]))) == []
        assert list(checker.iter_errors({**yaml.safe_load(files[file]), "nmae": 1}))


TEXT = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1
) | st.sampled_from(["1e4", "yes", "null", "~", "a: b", "- a", "# a", "a\n\nb\n", " a\nb", "a\n", "\n", "0x1f", "a #b"])


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    text=TEXT,
    labels=st.dictionaries(TEXT, TEXT),
    number=st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False),
)
def test_the_resolved_form_reads_back_the_same(text: str, labels: dict[str, str], number: float) -> None:
    prompt = {
        "input": text,
        "labels": labels,
        "output": {"format": "json", "json_schema": {"type": "object", "enum": [text, 1.5, None, True]}},
        "examples": [{"input": {text: text}, "output": text}, {"input": {}, "output": ""}],
    }
    spec = make_spec(prompt=prompt, train={"max_grad_norm": number}, eval={"metrics": ["accuracy"]})
    shown = render_spec(spec)
    assert RunSpec.model_validate(parse(shown.encode(), "shown").value) == spec


def test_the_resolved_form_marks_defaults(tmp_path: Path) -> None:
    shown = render_spec(make_spec(train={"epochs": 3})).splitlines()
    assert "  epochs: 3.0" in shown
    assert "  schedule: cosine  # default" in shown
    assert "train:" in shown
