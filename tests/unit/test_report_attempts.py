"""Where the time of attempts went, worked out by hand; what is not known is None, never zero."""

import json
from typing import Any

import pytest

from sftjobs.report.attempts import collect
from sftjobs.report.build import build, summary
from sftjobs.report.html import _columns
from sftjobs.report.numbers import hours
from tests.support.attempt_data import attempt, cluster_attempts
from tests.support.report_data import RUN, finished_run


def row(**fields: Any) -> dict[str, Any]:
    found = collect([attempt(**fields)])
    assert found is not None
    only: dict[str, Any] = found["rows"][0]
    return only


def test_every_step_of_a_cluster_is_told_apart() -> None:
    times = {"created": 0.0, "admitted": 90.0, "scheduled": 92.5, "pulling": 93.0, "pulled": 123.0, "started": 130.0}
    found = row(times={**times, "finished": 730.0}, gpus=8, seconds={"fetch": 19.0, "run": 570.0, "upload": 9.0})
    steps = {name: found[name] for name in ("queue_s", "schedule_s", "pull_s", "start_s", "run_s")}
    assert steps == {"queue_s": 90.0, "schedule_s": 2.5, "pull_s": 30.0, "start_s": 37.5, "run_s": 600.0}
    assert (found["prepare_s"], found["program_s"], found["upload_s"]) == (20.0, 570.0, 9.0)
    assert found["wasted_s"] == 37.5 + 20.0, "it came to its end: only what came before its program"
    assert (found["gpu_s"], found["wasted_gpu_s"]) == (8 * 600.0, 8 * 57.5)


@pytest.mark.parametrize(
    ("fields", "wasted"),
    [
        ({"failure": "infrastructure"}, 600.0),  # it never saved anything
        ({"failure": "infrastructure", "saved_s": 500.0}, 600.0 - 480.0),
        ({"failure": "stopped", "saved_s": 598.0}, 600.0 - 578.0),
        ({"failure": "infrastructure", "beats": False}, 600.0),  # without a heartbeat it has not saved anything either
        ({"failure": "user", "program_s": None}, 600.0),  # it failed before its program started
        ({"seconds": {"run": 570.0}, "program_s": None}, None),  # when its program started is not recorded
        ({"seconds": {"fetch": 7.0}, "beats": False}, 7.0),
        ({}, 600.0),  # somebody else has made the artifact: this attempt only waited
        ({"failure": None}, None),  # it goes on
        ({"failure": "config", "started": None}, None),  # its Job was refused
    ],
)
def test_what_was_wasted(fields: dict[str, Any], wasted: float | None) -> None:
    assert row(**fields)["wasted_s"] == wasted


def test_a_run_of_processes_knows_no_queue() -> None:
    found = collect([attempt(), attempt(number=1, failure="hang")])
    assert found is not None
    assert found["rows"][0]["queue_s"] is None and found["total"]["queue_s"] is None
    assert found["total"]["run_s"] == 1200.0
    assert _columns(found) == ["run_s", "wasted_s"]


def test_sums_are_over_what_is_columns() -> None:
    found = collect([attempt(), attempt(number=1, failure="config", started=None)])
    assert found is not None
    assert found["rows"][1]["run_s"] is None
    assert found["total"]["run_s"] == 600.0


def test_without_attempts_there_is_no_table() -> None:
    report = build(RUN, finished_run(24))
    assert json.loads(report.json)["attempts"] is None
    assert b'id="attempts"' not in report.html


def test_the_report_has_the_table_and_the_summary_its_totals() -> None:
    report = build(RUN, finished_run(24), cluster_attempts())
    total = json.loads(report.json)["attempts"]["total"]
    assert total["gpu_s"] == 8 * (600 + 900 + 2100)
    assert total["wasted_gpu_s"] == 8 * ((38 + 600 - 595) + (3 + 900 - 300) + (3 + 20))
    rows = dict(summary(report.json))
    assert rows["GPU hours"] == "8.00" and rows["of which wasted"] == hours(total["wasted_gpu_s"]) == "1.49"
    html = report.html.decode()
    texts = ("Queue", "image pull 30.0 s", "stopped at step 412", "node gpu-14 does", ">8.00")
    for text in (*texts, ">1.49 wasted<"):
        assert text in html, text


def test_a_message_of_a_program_is_text() -> None:
    evil = attempt(failure="user", message="<img src=x onerror=alert(1)>")
    assert b"<img" not in build(RUN, finished_run(24), [evil]).html


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "-"), (0.0, "0.00"), (180, "0.050"), (3600, "1.00"), (5e5, "139")]
)
def test_hours(seconds: float | None, shown: str) -> None:
    assert hours(seconds) == shown
