"""The report of a run: manifests and sections in, report.json and report.html out. Pure: no store, no clock.

A stage that has not run, or a section that a stage did not write, leaves its part out; nothing is made up for it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sftjobs.canonical import Json, readable
from sftjobs.plan.types import Kind, Manifest
from sftjobs.report import attempts as attempt_table
from sftjobs.report import numbers
from sftjobs.report.attempts import AttemptReport
from sftjobs.report.html import render

SCHEMA = 1
"""Schema number of report.json."""


@dataclass(frozen=True)
class StageReport:
    """What one committed stage left for the report."""

    name: str
    kind: Kind
    manifest: Manifest
    sections: Mapping[str, Json] = field(default_factory=dict)
    """Section name -> content of `info/report/<section>.json`."""


@dataclass(frozen=True)
class Report:
    """The two forms of a report; they hold the same numbers."""

    json: bytes
    html: bytes


def build(run: Mapping[str, Json], stages: Sequence[StageReport], attempts: Sequence[AttemptReport] = ()) -> Report:
    """`run` holds facts to show, of which `name` and `run_id` are the title; the others are in plan order."""
    report = collect(run, stages, attempts)
    return Report(json=readable(report), html=render(report))


def collect(
    run: Mapping[str, Json], stages: Sequence[StageReport], attempts: Sequence[AttemptReport] = ()
) -> dict[str, Any]:
    """Content of report.json."""
    sections: dict[str, Json] = {}
    for stage in stages:
        sections.update(stage.sections)
    comparison = sections.get("compare")
    roles = {f"eval-{role}": role for role in ("base", "previous", "tuned")}
    return {
        "schema_number": SCHEMA,
        "run": dict(run),
        "verdict": None if comparison is None else comparison["pairs"][0]["verdict"],
        "text": None if comparison is None else "; ".join(pair["text"] for pair in comparison["pairs"]),
        "comparison": comparison,
        "evaluations": {role: sections[name] for name, role in roles.items() if name in sections},
        "train": sections.get("train"),
        "data": sections.get("data"),
        "stages": [_stage(stage) for stage in stages],
        "attempts": attempt_table.collect(attempts),
    }


def _stage(stage: StageReport) -> dict[str, Any]:
    """What is said about time, cost and lineage of a stage."""
    manifest = stage.manifest
    return {
        "name": stage.name,
        "kind": stage.kind,
        "key": manifest.key,
        "digest": manifest.digest,
        "incarnation": manifest.incarnation,
        "inputs": manifest.inputs,
        "versions": manifest.versions,
        "counts": manifest.counts,
        "facts": manifest.facts,
        "files": len(manifest.content),
        "bytes": sum(entry.size for entry in manifest.content),
    }


def summary(report_json: bytes | str | Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows (name, value) of the table that the terminal shows at the end; empty without a comparison."""
    report = report_json if isinstance(report_json, Mapping) else json.loads(report_json)
    comparison = report["comparison"]
    if comparison is None:
        return []
    level = numbers.percent(comparison["confidence"], 0)
    first, *others = comparison["pairs"]
    rows = [
        (comparison["metric"], f"{comparison['n']:,} held-out examples"),
        ("base", numbers.percent(first["value_before"])),
        ("tuned", numbers.percent(first["value_after"])),
        *_difference("", level, first),
    ]
    for pair in others:
        rows.append((pair["before"], numbers.percent(pair["value_before"])))
        rows += _difference(f" to {pair['before']}", level, pair)
    return rows + _gpu_hours(report.get("attempts"))


def _gpu_hours(attempts: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    total = attempts["total"] if attempts is not None else {}
    if not total.get("gpu_s"):
        return []
    return [("GPU hours", numbers.hours(total["gpu_s"])), ("of which wasted", numbers.hours(total["wasted_gpu_s"]))]


def _difference(to: str, level: str, pair: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"difference{to}", f"{numbers.points(pair['difference'])} points"),
        (f"{level} paired interval", f"{numbers.points(pair['low'])} to {numbers.points(pair['high'])}"),
        ("McNemar p", numbers.p_value(pair["p"])),
    ]
