"""report.json to one static HTML file: style and script inside, nothing loaded from anywhere."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftjobs.report import numbers, plots
from sftjobs.report.texts import ENGLISH

HERE = Path(__file__).parent
MAX_CONFUSION = 30
"""With more labels the table does not fit a page; the most frequent confusions are listed for any number."""
TOP_CONFUSIONS = 12
SLICES = ("task", "label", "difficulty", "source", "length")
COLUMNS = ("queue_s", "schedule_s", "start_s", "run_s", "wasted_s", "gpu_s")
"""Of the table of attempts."""


def render(report: Mapping[str, Any], texts: Mapping[str, str] = ENGLISH) -> bytes:
    """The page. Every value is escaped by the template engine."""
    # Imported here: most commands of the CLI need no template engine, and its import takes a tenth of their time.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        percent=numbers.percent,
        points=numbers.points,
        measure=numbers.measure,
        change=numbers.change,
        p=numbers.p_value,
        count=numbers.count,
        short=numbers.short,
        duration=numbers.duration,
        hours=numbers.hours,
        size=numbers.size,
        value=numbers.value,
    )
    comparison = report["comparison"]
    script = (HERE / "report.js").read_text(encoding="utf-8")
    page = environment.get_template("template.html").render(
        report=report,
        comparison=comparison,
        level="" if comparison is None else numbers.percent(comparison["confidence"], 0),
        bounded=comparison is None or comparison.get("bounded", True),
        models={} if comparison is None else _models(comparison),
        evaluations={role: report["evaluations"][role] for role in sorted(report["evaluations"], key=_role)},
        shown_models=_shown_models(comparison),
        slices=_slices(comparison),
        plan_names=_plans(comparison),
        **_words(comparison),
        near=_near(report),
        why_wrong=_why_wrong(comparison),
        t=texts,
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        # Only this very script may run, whatever else got into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        plots=_plots(report),
        confusions={role: _confusion(one) for role, one in report["evaluations"].items()},
        stages=[{**stage, "time": _time(stage)} for stage in report["stages"]],
        attempts=report["attempts"],
        columns=_columns(report["attempts"]),
    )
    return page.encode()


def _plots(report: Mapping[str, Any]) -> dict[str, Any]:
    comparison, data = report["comparison"], report["data"]
    models = pairs = None
    if comparison is not None:
        found, bounded = _models(comparison), comparison.get("bounded", True)
        models = plots.intervals(
            [(role, one["value"], one["low"], one["high"]) for role, one in found.items()], zero=False, bounded=bounded
        )
        rows = [(pair["before"], pair["difference"], pair["low"], pair["high"]) for pair in comparison["pairs"]]
        pairs = plots.intervals(rows, zero=True, bounded=bounded)
    return {
        "models": models,
        "pairs": pairs,
        "curves": {name: _curve(train) for name, train in report["trainings"].items()},
        "classic": _classic(report),
        "lengths": None if data is None else _lengths(data),
    }


def _curve(train: Mapping[str, Any]) -> dict[str, Any] | None:
    """Loss of one training, with its looks at the dev set."""
    looks = [(look["step"], look["loss"]) for look in (train.get("dev") or {}).get("looks", ())]
    return plots.curve([(point["step"], point["loss"]) for point in train["curve"]], looks, train.get("kept_step"))


def _classic(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the classic model makes of more and more data, beside what base and tuned reach."""
    found = ((report["baselines"] or {}).get("classic") or {}).get("curve") or []
    points = [(one["examples"], one["accuracy"], one["low"], one["high"]) for one in found]
    comparison = report["comparison"]
    levels = []
    if comparison is not None and comparison["metric"] == "accuracy":
        levels = [(role, comparison["models"][role]["value"]) for role in ("base", "tuned")]
    return plots.by_amount(points, [(role, value) for role, value in levels if value is not None])


def _models(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """Figures by model, in the order of the pairs, then tuned and its further seeds: files hold names sorted."""
    found: dict[str, Any] = comparison["models"]
    order = [pair["before"] for pair in comparison["pairs"]]
    return {role: found[role] for role in [*order, *sorted(found, key=_role)] if role in found}


def _role(name: str) -> tuple[int, int]:
    """Order of evaluations: base, previous, tuned, tuned-2, ..."""
    stem, _, number = name.partition("-")
    return ("base", "previous", "tuned").index(stem) if stem in ("base", "previous", "tuned") else 1, int(number or 1)


def _shown_models(comparison: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """(name, value) of the cards at the top: the tuned model last, as the mean of its seeds if there are several."""
    if comparison is None:
        return []
    first = comparison["pairs"][0]
    others = [(pair["before"], pair["value_before"]) for pair in comparison["pairs"]]
    return [*others, ("tuned", first["value_after"])]


def _plans(comparison: Mapping[str, Any] | None) -> list[str]:
    """Names of what the plans are compared by: base, the plan of the tuned model, the others. Empty with one plan."""
    plans = None if comparison is None else comparison.get("plans")
    if plans is None:
        return []
    return [*dict.fromkeys(["base", plans["tuned"], *plans["models"]])]


def _words(comparison: Mapping[str, Any] | None) -> dict[str, str]:
    """Keys of the texts for the heads of columns that depend on the kind of metric."""
    first = {} if comparison is None else comparison["pairs"][0]
    kind = first.get("kind", "binary")
    counted = kind != "mean"
    return {
        "p_name": f"p_{kind}" if first.get("seeds", 1) == 1 else "p_seeds",
        "gained": "wins" if counted else "went_up",
        "lost": "losses" if counted else "went_down",
    }


def _slices(comparison: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """Those of base and tuned that say something: with one slice there is nothing to compare."""
    if comparison is None:
        return {}
    found = comparison["pairs"][0]["slices"]
    return {name: found[name] for name in SLICES if len(found.get(name) or ()) > 1}


def _why_wrong(comparison: Mapping[str, Any] | None) -> dict[str, str]:
    """Case id -> how its answer was read, or why it could not be."""
    cases = [] if comparison is None else comparison["cases"]
    return {case["id"]: case.get("parse_class") or case["parse"] for case in cases}


def _near(report: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Case id -> training examples near it."""
    section = report["nearest"] or {"training": {}, "cases": {}}
    training = section["training"]
    return {
        case: [{"question": training[one][0], "answer": training[one][1], "similarity": alike} for one, alike in found]
        for case, found in section["cases"].items()
        if found
    }


def _lengths(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lengths of training examples, with the limit and what all of them have in common at their start."""
    marks = {"max_tokens": data.get("max_tokens"), "common_prefix": data.get("common_prefix_tokens") or None}
    return plots.histogram(data["lengths"], marks)


def _confusion(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """A dense table for few labels, and the most frequent confusions for any number of them."""
    found = evaluation["confusion"]
    if found is None:
        return None
    rows, columns = found["rows"], found["columns"]
    wrong = [(count, rows[i], columns[j]) for i, j, count in found["cells"] if rows[i] != columns[j]]
    table = None
    if len(columns) <= MAX_CONFUSION:
        counts = [[0] * len(columns) for _ in rows]
        for i, j, count in found["cells"]:
            counts[i][j] = count
        table = [
            [{"count": count, "share": round(100 * count / sum(row)), "right": i == j} for j, count in enumerate(row)]
            for i, row in enumerate(counts)
        ]
    top = sorted(wrong, key=lambda one: (-one[0], one[1], one[2]))[:TOP_CONFUSIONS]
    return {"rows": rows, "columns": columns, "table": table, "top": top}


def _columns(attempts: Mapping[str, Any] | None) -> list[str]:
    """Those about which something is known: no queue without a cluster, no GPU hours without a GPU."""
    if attempts is None:
        return []
    known = [name for name in COLUMNS if attempts["total"][name] is not None]
    return [name for name in known if name != "gpu_s" or any(row["gpus"] for row in attempts["rows"])]


def _time(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Wall seconds of the attempt that committed, and of its phases, from the manifest's run facts."""
    facts = stage["facts"]
    phases = facts.get("seconds") or {}
    whole = None
    if facts.get("started") is not None and facts.get("finished") is not None:
        whole = facts["finished"] - facts["started"]
    return {
        "whole": whole,
        "program": phases.get("run"),
        "cpu": facts.get("cpu_s"),
        "memory": None if facts.get("peak_rank_mib") is None else facts["peak_rank_mib"] * 1024**2,
        "attempt": facts.get("attempt"),
        "run_id": facts.get("run_id"),
    }
