"""JSON Schemas of cluster.yaml: for editors, and for the values of the chart. `sftjobs.spec.schema` writes them."""

import copy
from typing import Any

from sftjobs.spec.cluster import ReleaseValues
from sftjobs.spec.fields import json_schema
from sftjobs.spec.words import Schema

HELM_DIALECT = "http://json-schema.org/draft-07/schema#"
"""Helm before 3.18 knows nothing newer. Of what pydantic writes, draft-07 lacks only the word `$defs`: a place."""


def values_schema() -> Schema:
    """The JSON Schema that Helm holds the values of a release against.

    It differs from that of the model where Helm does: the run is checked in a template, whose message can say what to
    do; Helm itself adds `global`; and what has a default in values.yaml cannot be taken away with `null`, so that
    templates find it.
    """
    schema = copy.deepcopy(json_schema(ReleaseValues))
    properties = schema["properties"]
    properties["run"] = {"type": "string", "description": properties["run"]["description"]}
    properties["global"] = {"type": "object", "description": "Of Helm itself; not used."}
    schema["required"] = []
    _require_defaults(schema, schema["$defs"])
    _say_null_by_type(schema, schema["$defs"])
    return schema


def _require_defaults(schema: Schema, definitions: Schema) -> None:
    """Every field with a default in values.yaml is required, in every mapping that is there itself."""
    for name, field in schema["properties"].items():
        if field.get("default") is None:
            continue
        required: list[str] = schema.setdefault("required", [])
        if name not in required:
            required.append(name)
        if "$ref" in field:
            _require_defaults(definitions[field["$ref"].rpartition("/")[2]], definitions)


def _say_null_by_type(schema: Schema, definitions: Schema) -> None:
    """`anyOf` of something and null as one schema: Helm's message then names the rule that was broken."""
    for mapping in (schema, *definitions.values()):
        for field in mapping["properties"].values():
            if "anyOf" not in field:
                continue
            value, _null = field.pop("anyOf")
            target = definitions[value["$ref"].rpartition("/")[2]] if "$ref" in value else value
            if isinstance(target["type"], str):
                target["type"] = [target["type"], "null"]
            field.update(value)


def closed(schema: Any) -> Any:
    """The same schema, refusing names that fit no pattern; pydantic leaves them unchecked."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {**inner, "additionalProperties": False} if "patternProperties" in inner else inner
