"""The report of a run: what is in it, that it is safe to open, that parts may be missing."""

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from jobs.eval.bad_cases import bad_cases
from jobs.eval.compare import compare_all
from jobs.eval.shown import for_report
from sftjobs.plan.configs import CompareConfig
from sftjobs.report.build import Report, build, summary
from sftjobs.report.plots import histogram
from tests.support.report_data import (
    RUN,
    compared,
    comparison,
    data_card,
    data_section,
    finished_run,
    predictions,
    stage,
    train_section,
)


@pytest.fixture(scope="module")
def report() -> Report:
    return build(RUN, finished_run())


def _compare_only(base: list[dict[str, Any]], tuned: list[dict[str, Any]]) -> str:
    stages = [stage("compare", "eval", {"compare": comparison({"base": base, "tuned": tuned})}, 2.0)]
    return build(RUN, stages).html.decode()


def test_the_verdict_comes_first(report: Report) -> None:
    html = report.html.decode()
    assert (
        html.index("The tuned model is better than the base model") < html.index("<nav") < html.index("McNemar p</th>")
    )


def test_html_and_json_hold_the_same_numbers(report: Report) -> None:
    html = report.html.decode().replace("&lt;", "<")
    for name, value in summary(report.json):
        shown = value.split(" to ")[0].split("  (")[0].removesuffix(" points")
        assert shown in html or name == "verdict", name


def test_the_summary_has_the_rows_of_the_final_table(report: Report) -> None:
    rows = summary(report.json)
    assert [name for name, _ in rows] == [
        "accuracy",
        "base",
        "likelihood",
        "few_shot",
        "classic",
        "previous",
        "tuned",
        "difference to base",
        "95 % interval",
        "p",
        "verdict",
    ]
    assert dict(rows[:2]) == {"accuracy": "200 held-out examples", "base": "23.5 %"}
    assert summary(json.loads(report.json)) == rows


def test_a_baseline_that_is_as_good_is_in_the_headline(report: Report) -> None:
    found = json.loads(report.json)
    assert found["verdict"] == "better"
    assert found["headline"] == "not better than a baseline"
    assert dict(summary(found))["verdict"] == "not better than a baseline"
    html = report.html.decode()
    assert '<h1 class="verdict not-better-than-a-baseline">Better than the base, but not than every baseline' in html
    assert "as far as this test set shows, the baseline is as good" in html[: html.index("<nav")]


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


def test_two_thousand_bad_cases_stay_below_five_mib(tmp_path: Path) -> None:
    report = build(RUN, finished_run(14_000, text="x" * 600, previous=False, folder=tmp_path, baselines=False))
    found = json.loads(report.json)
    section = found["comparison"]
    assert section["bad_cases"] >= 1_800
    assert 1_500 <= len(section["cases"]) <= 2_000
    assert len(found["nearest"]["cases"]) == len(section["cases"])
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
    assert "as good" not in html, "there is no baseline here"


def test_a_worse_model_is_called_worse() -> None:
    html = _compare_only(predictions(120, 0.9, 0, 1), predictions(120, 0.3, 0, 2))
    assert "The tuned model is worse" in html


def test_a_model_without_mistakes_has_no_bad_cases() -> None:
    html = _compare_only(predictions(60, 0.4, 0, 1), predictions(60, 1.0, 0, 2))
    assert "got every held-out example right" in html
    assert 'id="filters"' not in html


def test_a_baseline_that_is_better_is_in_the_headline() -> None:
    models = {"base": predictions(200, 0.2, 0, 1), "classic": predictions(200, 0.95, 0, 3)}
    models["tuned"] = predictions(200, 0.6, 0, 2)
    report = build(RUN, [stage("compare", "eval", compared(models), 2.0)])
    assert dict(summary(report.json))["verdict"] == "worse than a baseline"
    assert "Better than the base, but a baseline is better</h1>" in report.html.decode()


def test_models_come_in_the_order_of_the_comparison_although_files_sort_names(report: Report) -> None:
    found = json.loads(report.json)
    stages = [stage("compare", "eval", {"compare": found["comparison"]}, 2.0)]
    table = build(RUN, stages).html.decode().split('<table id="models">')[1].split("</table>")[0]
    rows = re.findall(r'<th scope="row">([a-z ]+)', table)
    assert rows == ["base", "likelihood", "few shot", "classic", "previous", "tuned"]


def test_training_examples_near_a_bad_case_are_folded_under_it(tmp_path: Path) -> None:
    report = build(RUN, finished_run(120, folder=tmp_path))
    found, html = json.loads(report.json), report.html.decode()
    cases = found["comparison"]["cases"]
    assert html.count('<details class="near">') == len(cases) == len(found["nearest"]["cases"])
    assert html.count('data-near="contradicts"') == sum(case.get("nearest_contradicts") is True for case in cases) > 0
    training, similarity = found["nearest"]["cases"][cases[0]["id"]][0]
    question, answer = found["nearest"]["training"][training]
    assert f"<p><b>{answer}</b> <i>{similarity:.2f}</i> {question}</p>" in html


def test_training_shows_the_dev_set_and_the_kept_step(report: Report) -> None:
    html = report.html.decode()
    assert "kept: step 70" in html
    assert html.count('<circle class="dev"') == 10
    assert "Weights of step 70 were kept. Best of 10 looks at the dev set" in html
    assert "Training stopped at step 96 of 200: 2 looks in a row were no better." in html


def test_each_seed_has_its_curve_and_the_spread_is_said() -> None:
    models = {"base": predictions(80, 0.3, 0, 1), "tuned": predictions(80, 0.85, 0, 2)}
    models["tuned-2"] = predictions(80, 0.8, 0, 7)
    stages = [stage(name, "train", {name: train_section()}, 60.0) for name in ("train", "train-2")]
    report = build(RUN, [*stages, stage("compare", "eval", compared(models), 2.0)])
    html = report.html.decode()
    assert html.count('<figure class="curve">') == 2
    assert "2 training seeds: " in html
    assert "p over seeds" in html
    assert re.search(r"wrong with [12] of 2 seeds", html)
    assert tuple(name for name, _ in summary(report.json) if name.startswith("tuned")) == ("tuned, 2 seeds",)


def test_what_the_classic_model_needs_is_drawn_beside_base_and_tuned(report: Report) -> None:
    html = report.html.decode()
    plot = html[html.index('aria-label="How much data a model without') :].split("</svg>")[0]
    assert plot.count("<circle") == 4
    assert "From 198 to 395 examples it gained +6.0 points (+1.0 to +11.0)." in html
    assert "<b>balance</b> how much is left" in html
    for role in ("base", "tuned"):
        assert f"{role} {json.loads(report.json)['comparison']['models'][role]['value'] * 100:.1f} %" in plot


def test_why_answers_could_not_be_read_is_shown(report: Report) -> None:
    html = report.html.decode()
    failed = json.loads(report.json)["evaluations"]["base"]
    assert failed["format"]["failed"] > 0
    assert f'Answers that could not be read: base <span class="badge">{failed["format"]["failed"]}</span>' in html
    assert failed["parse_failures"][0]["meaning"] in html
    assert '<option value="no_label">no label</option>' in html


def test_a_metric_of_numbers_has_no_percent_and_no_right_or_wrong() -> None:
    def scored(seed: int, mean: float) -> list[dict[str, Any]]:
        draw = random.Random(seed)
        return [{**line, "scores": {"loss": draw.gauss(mean, 0.2) ** 2}} for line in predictions(60, 0.5, 0, 1)]

    config = CompareConfig(metric="loss", confidence=0.95, bootstrap_draws=10_000, seed=1)
    models = {"base": scored(1, 1.2), "tuned": scored(2, 0.7)}
    cases = bad_cases(models["tuned"], models["base"], "loss", lower_is_better=True)
    shown = for_report(cases, models["tuned"])
    section = {**compare_all(models, config), "bad_cases": len(cases), "cases": shown}
    report = build(RUN, [stage("compare", "eval", {"compare": section}, 2.0)])
    html = report.html.decode()
    assert section["bounded"] is False
    assert "The tuned model is better" in html
    assert "less is better" in html
    assert "Sign-flip p" in html
    rows = dict(summary(report.json))
    assert rows["base"] == f"{section['pairs'][0]['value_before']:.3f}"
    assert rows["difference to base"].startswith("\N{MINUS SIGN}1.0")
    scores = [case["score"] for case in shown]
    assert scores == sorted(scores, reverse=True), "the largest loss comes first"


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
