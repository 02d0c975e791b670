"""JSON Schemas of all files that people write, and values.yaml: `python -m sftjobs.spec.schema [--check]`.

`sftjobs init` puts them beside a new run, because a relative path is the only one that works on every machine
and without a network.
"""

import json
import sys
from typing import Any

from sftjobs.spec import chart_values, cluster_schema, generated
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.fields import json_schema
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import RunSpec
from sftjobs.spec.words import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def run_schema() -> str:
    """The JSON Schema of run.yaml."""
    return _text(json_schema(RunSpec), "run.yaml of sftjobs")


def prompt_schema() -> str:
    """The JSON Schema of a prompt file."""
    return _text(json_schema(PromptSpec), "prompt file of sftjobs")


def cluster_schema_text() -> str:
    """The JSON Schema of cluster.yaml."""
    return _text(cluster_schema.closed(json_schema(ClusterSpec)), "cluster.yaml of sftjobs")


def values_schema() -> str:
    """The JSON Schema of the values of the chart."""
    schema = cluster_schema.closed(cluster_schema.values_schema())
    return _text(schema, "values of the chart sft-run", cluster_schema.HELM_DIALECT)


def files() -> dict[str, str]:
    """Path in the repository -> content."""
    return {
        "schemas/run.schema.json": run_schema(),
        "schemas/prompt.schema.json": prompt_schema(),
        "schemas/cluster.schema.json": cluster_schema_text(),
        "charts/sft-run/values.schema.json": values_schema(),
        "charts/sft-run/values.yaml": chart_values.values_yaml(),
    }


def _text(schema: Schema, title: str, dialect: str = DIALECT) -> str:
    whole = {"$schema": dialect, **_clean(schema), "title": title}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _clean(value: Any, names: bool = False) -> Any:
    """Without the titles that pydantic makes of field names, and with descriptions on one line.

    `names`: the keys of `value` are field names, which may be `title` or `description` themselves.
    """
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if not isinstance(value, dict):
        return value
    cleaned = {}
    for key, inner in value.items():
        if not names and key == "title":
            continue
        if not names and key == "description":
            cleaned[key] = " ".join(inner.split())
        else:
            cleaned[key] = _clean(inner, names=key in ("properties", "$defs") and not names)
    return cleaned


if __name__ == "__main__":
    sys.exit(generated.main(files(), "python -m sftjobs.spec.schema"))
