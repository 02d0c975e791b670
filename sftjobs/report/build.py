"""The report of a run: manifests and sections in, report.json and report.html out. Pure: no store, no clock.

A stage that has not run, or a section that a stage did not write, leaves its part out; nothing is made up for it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from sftjobs.canonical import Json, readable
from sftjobs.plan.types import Kind, Manifest
from sftjobs.report import attempts as attempt_table
from sftjobs.report import numbers
from sftjobs.report.attempts import AttemptReport
from sftjobs.report.html import render
from sftjobs.spec.eval import Baseline

BASELINES: tuple[str, ...] = get_args(Baseline)
SCHEMA = 1
"""Schema number of report.json."""
EVALUATIONS = r"eval-(base|previous|tuned(-\d+)?|mixed|key|dual)"
"""Stages that ask one model, without those of a model for each task."""


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
    trains = {name: sections[name] for name in sections if re.fullmatch(r"train(-[a-z0-9-]+)?", name)}
    roles = {name: name.removeprefix("eval-") for name in sections if re.fullmatch(EVALUATIONS, name)}
    return {
        "schema_number": SCHEMA,
        "run": dict(run),
        "verdict": None if comparison is None else comparison["pairs"][0]["verdict"],
        "headline": headline(comparison),
        "text": None if comparison is None else conclusion(comparison),
        "comparison": comparison,
        "nearest": sections.get("nearest"),
        "baselines": sections.get("baselines"),
        "evaluations": {role: sections[name] for name, role in roles.items() if name in sections},
        "train": sections.get("train"),
        "trainings": trains,
        "data": sections.get("data"),
        "stages": [_stage(stage) for stage in stages],
        "attempts": attempt_table.collect(attempts),
    }


def headline(comparison: Mapping[str, Any] | None) -> str:
    """The outcome, a key of `texts`: the verdict against the base, unless a baseline is as good or better."""
    if comparison is None:
        return "pending"
    verdict: str = comparison["pairs"][0]["verdict"]
    if verdict != "better" or comparison.get("beats_every_baseline") is not False:
        return verdict
    lost = any(pair["before"] in BASELINES and pair["verdict"] == "worse" for pair in comparison["pairs"])
    return "worse than a baseline" if lost else "not better than a baseline"


def conclusion(comparison: Mapping[str, Any]) -> str:
    """In plain words; of a comparison of before there were conclusions, the sentence of each pair."""
    found = comparison.get("conclusion") or "; ".join(pair["text"] for pair in comparison["pairs"])
    return str(found)


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
    bounded = comparison.get("bounded", True)
    first, *others = comparison["pairs"]
    seeds = first.get("seeds", 1)
    rows = [
        (comparison["metric"], f"{comparison['n']:,} held-out examples"),
        ("base", numbers.measure(first["value_before"], bounded)),
        *((pair["before"], _other(pair, bounded)) for pair in others),
        ("tuned" if seeds == 1 else f"tuned, {seeds} seeds", numbers.measure(first["value_after"], bounded)),
        *_plans(comparison.get("plans"), bounded),
        ("difference to base", f"{numbers.change(first['difference'], bounded)}{' points' if bounded else ''}"),
        (f"{level} interval", f"{numbers.change(first['low'], bounded)} to {numbers.change(first['high'], bounded)}"),
        ("p", numbers.p_value(first["p"])),
        ("verdict", headline(comparison)),
    ]
    return rows + _gpu_hours(report.get("attempts"))


def _other(pair: Mapping[str, Any], bounded: bool) -> str:
    """A model besides base and tuned, and what the tuned one is against it."""
    verdict = pair["verdict"] if pair["verdict"] == "no difference shown" else f"tuned is {pair['verdict']}"
    return (
        f"{numbers.measure(pair['value_before'], bounded)}  ({verdict}, {numbers.change(pair['difference'], bounded)})"
    )


def _plans(plans: Mapping[str, Any] | None, bounded: bool) -> list[tuple[str, str]]:
    """Other ways to train than that of the tuned model."""
    if plans is None:
        return []
    rows = []
    for name, one in plans["to_tuned"].items():
        change = numbers.change(one["difference"], bounded)
        rows.append((f"plan {name}", f"{numbers.measure(one['value_after'], bounded)}  ({one['verdict']}, {change})"))
    return rows


def _gpu_hours(attempts: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    total = attempts["total"] if attempts is not None else {}
    if not total.get("gpu_s"):
        return []
    return [("GPU hours", numbers.hours(total["gpu_s"])), ("of which wasted", numbers.hours(total["wasted_gpu_s"]))]
