"""Plans side by side: whose answers count for which task, the differences, the transfer matrix, the report of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.answers.predict import Prediction
from jobs.eval.compare import compare_all, run
from jobs.eval.lines import write_lines
from jobs.eval.pairs import Pair, compare
from sftjobs.errors import DataError
from sftjobs.plan.configs import CompareConfig
from sftjobs.report.build import build, summary
from tests.support.program_runner import run_here
from tests.support.report_data import RUN, predictions, stage

Models = dict[str, list[Prediction]]
CONFIG = CompareConfig(
    metric="accuracy",
    confidence=0.95,
    bootstrap_draws=2_000,
    seed=1,
    plans=["mixed", "separate", "key_tasks", "dual_stage"],
)
ACCURACY = {"base": 0.3, "tuned": 0.8}
OTHERS = {"plan.separate.intent": 0.9, "plan.separate.chat": 0.5, "plan.key_tasks": 0.82, "plan.dual_stage": 0.4}


def models(count: int = 200) -> Models:
    return {role: predictions(count, share, 0, i) for i, (role, share) in enumerate({**ACCURACY, **OTHERS}.items())}


@pytest.fixture(scope="module")
def answered() -> Models:
    return models()


@pytest.fixture(scope="module")
def found(answered: Models) -> dict[str, Any]:
    own, others = ({r: answered[r] for r in names} for names in (ACCURACY, OTHERS))
    return compare_all(own, CONFIG, None, others)


def _share(lines: list[Prediction], task: str | None = None) -> float:
    scores = [bool(line["correct"]) for line in lines if task in (None, line["task"])]
    return sum(scores) / len(scores)


def test_a_row_per_plan_with_every_task(answered: Models, found: dict[str, Any]) -> None:
    plans = found["plans"]
    assert plans["tasks"] == {"chat": 40, "intent": 160}
    assert list(plans["models"]) == ["base", "mixed", "separate", "key_tasks", "dual_stage"]
    for name, role in (("base", "base"), ("mixed", "tuned"), ("dual_stage", "plan.dual_stage")):
        of_plan = plans["models"][name]
        assert of_plan["value"] == pytest.approx(_share(answered[role]))
        for task in ("chat", "intent"):
            assert of_plan["tasks"][task]["value"] == pytest.approx(_share(answered[role], task))
            assert of_plan["tasks"][task]["low"] < of_plan["tasks"][task]["value"] < of_plan["tasks"][task]["high"]


def test_of_a_model_for_each_task_every_example_has_the_answer_of_its_own(
    answered: Models, found: dict[str, Any]
) -> None:
    plans = found["plans"]
    of_task = {task: _share(answered[f"plan.separate.{task}"], task) for task in ("chat", "intent")}
    assert {task: one["value"] for task, one in plans["models"]["separate"]["tasks"].items()} == of_task
    assert plans["models"]["separate"]["value"] == pytest.approx((40 * of_task["chat"] + 160 * of_task["intent"]) / 200)


def test_differences_are_paired_and_those_of_the_comparison(answered: Models, found: dict[str, Any]) -> None:
    expected = compare("mixed", "dual_stage", Pair(answered["tuned"], answered["plan.dual_stage"], "accuracy"), CONFIG)
    dual = found["plans"]["to_tuned"]["dual_stage"]
    assert {name: dual[name] for name in ("difference", "low", "high", "p", "verdict", "text")} == {
        name: expected[name] for name in ("difference", "low", "high", "p", "verdict", "text")
    }
    assert dual["verdict"] == "worse"
    assert list(found["plans"]["to_tuned"]) == ["separate", "key_tasks", "dual_stage"]
    slices = {one["name"]: one for one in expected["slices"]["task"]}
    assert dual["tasks"]["chat"]["low"] == slices["chat"]["low"]
    assert found["plans"]["to_base"]["mixed"]["difference"] == pytest.approx(found["pairs"][0]["difference"])


def test_transfer_is_the_score_of_a_task_after_training_on_another_minus_the_base(
    answered: Models, found: dict[str, Any]
) -> None:
    transfer = found["plans"]["transfer"]
    assert list(transfer) == ["chat", "intent"]
    for trained, row in transfer.items():
        for asked, cell in row.items():
            change = _share(answered[f"plan.separate.{trained}"], asked) - _share(answered["base"], asked)
            assert cell["difference"] == pytest.approx(change)


def test_the_conclusion_names_plans_and_a_run_without_plans_has_none(found: dict[str, Any], answered: Models) -> None:
    assert "Plan dual_stage is worse than plan mixed, which made the tuned model." in found["conclusion"]
    alone = compare_all({r: answered[r] for r in ACCURACY}, CONFIG.model_copy(update={"plans": []}))
    assert "plans" not in alone
    assert {**alone, "plans": found["plans"], "conclusion": found["conclusion"]} == found


def test_the_program_reads_the_models_of_plans(tmp_path: Path, answered: Models, found: dict[str, Any]) -> None:
    inputs = {}
    for role, lines in answered.items():
        (tmp_path / role).mkdir()
        write_lines(tmp_path / role / "predictions.jsonl", lines)
        inputs[role] = tmp_path / role
    outcome = run_here(run, "jobs.eval.compare", CONFIG, inputs, tmp_path / "work")
    written = json.loads((outcome.content / "comparison.json").read_text())
    assert written["plans"] == found["plans"]
    assert list(written["models"]) == ["base", "tuned"]
    assert outcome.counts["plan_dual_stage"] == pytest.approx(_share(answered["plan.dual_stage"]))
    assert outcome.counts["plan_dual_stage_verdict"] == "worse"


def test_other_examples_of_a_plan_are_refused(tmp_path: Path) -> None:
    own, inputs = models(40), {}
    own["plan.key_tasks"] = own["plan.key_tasks"][:-1]
    for role, lines in own.items():
        (tmp_path / role).mkdir()
        write_lines(tmp_path / role / "predictions.jsonl", lines)
        inputs[role] = tmp_path / role
    with pytest.raises(DataError, match=r"'plan\.key_tasks' \(39\) are not on the same examples: 1 are missing"):
        run_here(run, "jobs.eval.compare", CONFIG, inputs, tmp_path / "work")


def test_a_task_without_a_model_is_refused(answered: Models) -> None:
    others = {role: answered[role] for role in OTHERS if role != "plan.separate.chat"}
    with pytest.raises(DataError, match="plan separate has no model for held-out examples of chat"):
        compare_all({r: answered[r] for r in ACCURACY}, CONFIG, None, others)


def test_the_report_has_the_tables(found: dict[str, Any]) -> None:
    report = build(RUN, [stage("compare", "eval", {"compare": {**found, "bad_cases": 0, "cases": []}}, 2.0)])
    html = report.html.decode()
    for part in ('id="plans"', 'id="plans-to-tuned"', 'id="transfer"', "a model for each task"):
        assert part in html
    rows = dict(summary(report.json))
    assert "(worse, " in rows["plan dual_stage"]
