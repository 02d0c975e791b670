"""The report of a run: what is in it, that it is safe to open, that parts may be missing."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from sftjobs.report.build import Report, build, summary
from sftjobs.report.plots import histogram
from tests.support.report_data import RUN, comparison, data_card, data_section, finished_run, predictions, stage


@pytest.fixture(scope="module")
def report() -> Report:
    return build(RUN, finished_run())


def _compare_only(base: list[dict[str, Any]], tuned: list[dict[str, Any]]) -> str:
    stages = [stage("compare", "eval", {"compare": comparison({"base": base, "tuned": tuned})}, 2.0)]
    return build(RUN, stages).html.decode()


def test_the_verdict_comes_first(report: Report) -> None:
    html = report.html.decode()
    assert html.index("The tuned model is better") < html.index("<nav") < html.index("McNemar p</th>")
    assert "Tuned is better than base: +" in html


def test_html_and_json_hold_the_same_numbers(report: Report) -> None:
    html = report.html.decode()
    for name, value in summary(report.json):
        assert value.split(" to ")[0].removesuffix(" points") in html.replace("&lt;", "<"), name


def test_the_summary_has_the_rows_of_the_final_table(report: Report) -> None:
    rows = summary(report.json)
    assert [name for name, _ in rows] == [
        "accuracy",
        "base",
        "tuned",
        "difference",
        "95 % paired interval",
        "McNemar p",
        "previous",
        "difference to previous",
        "95 % paired interval",
        "McNemar p",
    ]
    assert dict(rows[:2]) == {"accuracy": "200 held-out examples", "base": "23.5 %"}
    assert summary(json.loads(report.json)) == rows


def test_the_same_run_gives_the_same_bytes(report: Report) -> None:
    assert build(RUN, finished_run()) == report


def test_the_page_is_well_formed_and_loads_nothing(report: Report) -> None:
    open_tags: list[str] = []
    void = {"meta", "link", "input", "br", "img", "line", "polyline"}

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in void:
                open_tags.append(tag)
            for name, value in attrs:
                if name in {"src", "href"}:
                    assert value is not None
                    assert value.startswith(("#", "data:")), (tag, value)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag in void

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(report.html.decode())
    assert open_tags == []
    style = re.search(r"<style>(.*?)</style>", report.html.decode(), re.DOTALL)
    assert style is not None
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)


def test_an_example_with_markup_is_shown_as_text() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"
    html = build({**RUN, "name": evil}, finished_run(24, text=evil)).html.decode()
    assert html.count("<script>") == 1
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "49}" not in html
    assert "{{ 7*7 }}" in html


def test_two_thousand_bad_cases_stay_below_five_mib() -> None:
    report = build(RUN, finished_run(14_000, text="x" * 600, previous=False))
    section = json.loads(report.json)["comparison"]
    assert section["bad_cases"] >= 1_800
    assert 1_500 <= len(section["cases"]) <= 2_000
    assert len(report.html) < 5 * 2**20


def test_a_run_without_evaluation_has_a_report_that_says_so() -> None:
    stages = finished_run(24)[:2]
    report = build(RUN, stages)
    assert "No comparison yet" in report.html.decode()
    assert summary(report.json) == []
    assert json.loads(report.json)["verdict"] is None


def test_a_run_in_which_nothing_is_done_has_a_report() -> None:
    assert b"No comparison yet" in build({"name": "new"}, []).html


def test_equal_models_are_not_called_better() -> None:
    same = predictions(60, 0.6, 0.1, 5)
    html = _compare_only(same, same)
    assert "No difference shown" in html
    assert "can show differences of about" in html


def test_a_worse_model_is_called_worse() -> None:
    html = _compare_only(predictions(120, 0.9, 0, 1), predictions(120, 0.3, 0, 2))
    assert "The tuned model is worse" in html


def test_a_model_without_mistakes_has_no_bad_cases() -> None:
    html = _compare_only(predictions(60, 0.4, 0, 1), predictions(60, 1.0, 0, 2))
    assert "got every held-out example right" in html
    assert 'id="filters"' not in html


def test_the_data_card_is_in_the_page(report: Report) -> None:
    html = report.html.decode()
    for said in (
        "Kept, but marked", "What each epoch holds", "395 of 395", "Languages of the answers", "phone number",
        "<ins> now</ins>", "Perhaps", "If that is too much: look at it", "Shown here: 1 of 30.", 'lang="en"',
        "At most 512 tokens are allowed; the first 208",
    ):  # fmt: skip
        assert said in html, said


def test_a_data_section_of_an_older_run_still_has_its_page() -> None:
    section = data_section()
    for name in data_card(""):
        section.pop(name)
    html = build(RUN, [stage("data", "data", {"data": section}, 9.4)]).html.decode()
    assert "From records to examples" in html
    assert "Kept, but marked" not in html
    assert "To look at" in html, "there is a conflict"


def test_the_limit_of_tokens_is_drawn_where_it_is_on_the_axis() -> None:
    bins = [{"from": 0, "to": 8, "examples": 3}, {"from": 8, "to": 16, "examples": 1}]
    plot = histogram(bins, {"max_tokens": 16, "common_prefix": 40, "none": None})
    assert plot is not None
    assert [(mark["name"], mark["anchor"]) for mark in plot["marks"]] == [("max_tokens", "end")]
    assert plot["marks"][0]["x"] == plot["right"]
