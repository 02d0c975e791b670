"""Ways to train on several tasks: the graph of stages, and what each training draws."""

import json
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names
from sftjobs.cli.plan_view import alike_lines, training_lines
from sftjobs.plan.configs import CompareConfig, DataCounts, TrainConfig
from sftjobs.plan.decide_train import decide_train
from sftjobs.plan.estimate import Numbers, numbers
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.sampler import GENERAL, Mixture
from sftjobs.plan.task_plans import task_plans, tuned_mixture
from sftjobs.plan.types import RunPlan
from sftjobs.spec.run import RunSpec
from tests.support.run_folder import RunFolder
from tests.support.specs import artifact, data_counts, make_facts, make_spec

TASKS = {name: {"path": f"{name}.jsonl", "held_out": f"{name}-held.jsonl"} for name in ("maths", "code", "chat")}
SIZES = {"maths": 40, "code": 20, "chat": 100}
ALL = {
    "plans": ["mixed", "separate", "key_tasks", "dual_stage"],
    "key_tasks": ["chat"],
    "specialised": ["maths", "code"],
    "specialised_share": 0.1,
}


def spec_of(multi_task: dict[str, Any], data: dict[str, Any] | None = None, **train: Any) -> RunSpec:
    return make_spec(data={"tasks": TASKS, **(data or {})}, train={"multi_task": multi_task, **train})


def plan_of(spec: RunSpec) -> RunPlan:
    externals = {name: make_facts().externals["model"] for name in ("model", GENERAL)}
    externals |= {
        f"{kind}.{task}": make_facts().externals["held_out"] for kind in ("task", "held_out") for task in TASKS
    }
    return make(spec, make_facts(externals=externals))


def counts(general: int = 0) -> dict[str, Any]:
    of_task = {name: {"examples": n, "tokens": 9 * n, "supervised_tokens": n} for name, n in SIZES.items()}
    if general:
        of_task[GENERAL] = {"examples": general, "tokens": 9 * general, "supervised_tokens": general}
    return data_counts(160, tasks=of_task)


def decided(plan: RunPlan, stage: str, general: int = 0) -> TrainConfig:
    node = plan.stage(stage)
    return decide_train(node.config, node.resources, DataCounts.model_validate(counts(general)))[0]


def draws(plan: RunPlan, stage: str, general: int = 0) -> list[dict[str, int]]:
    sizes = {**SIZES, **({GENERAL: general} if general else {})}
    found = Mixture.of(decided(plan, stage, general).mixture).draws(sizes)
    return [{task: number for task, number in epoch.items() if number} for epoch in found]


def test_the_graph_of_all_plans() -> None:
    plan = plan_of(spec_of(ALL))
    names = [stage.name for stage in plan.stages]
    assert names == [
        "data", "train", "train-sep-1", "train-sep-2", "train-sep-3", "train-key", "train-dual-1", "train-dual-2",
        "eval-base", "baselines", "eval-tuned", "eval-sep-1", "eval-sep-2", "eval-sep-3", "eval-key", "eval-dual",
        "compare",
    ]  # fmt: skip
    inputs = plan.stage("compare").inputs
    assert {role: item.stage for role, item in inputs.items() if role.startswith("plan.")} == {
        "plan.separate.maths": "eval-sep-1", "plan.separate.code": "eval-sep-2", "plan.separate.chat": "eval-sep-3",
        "plan.key_tasks": "eval-key", "plan.dual_stage": "eval-dual",
    }  # fmt: skip
    assert plan.stage("train-dual-2").inputs["model"].stage == "train-dual-1"
    assert plan.stage("train-dual-2").inputs["model"].folder == "model"
    assert plan.stage("eval-dual").inputs["model"].stage == "train-dual-2"


def test_what_each_plan_draws() -> None:
    plan = plan_of(spec_of(ALL))
    assert draws(plan, "train") == [SIZES] * 2
    assert draws(plan, "train-sep-2") == [{"code": 20}] * 2
    assert draws(plan, "train-key") == [SIZES, SIZES, {"chat": 100}]
    assert draws(plan, "train-dual-1") == [{"maths": 40, "code": 20}] * 2
    assert draws(plan, "train-dual-2") == [{"chat": 100, "maths": 4, "code": 2}] * 2


def test_general_data_goes_with_every_plan_and_makes_up_the_second_part() -> None:
    multi_task = {**ALL, "specialised": ["maths", "code", "chat"]}
    data = {"general": {"path": "g.jsonl", "ratio": 0.5, "max_repeats": 9}}
    plan = plan_of(spec_of(multi_task, data, epochs=1.0))
    assert draws(plan, "train-sep-1", general=300) == [{"maths": 40, GENERAL: 20}]
    assert draws(plan, "train-key", general=300) == [{**SIZES, GENERAL: 80}, {"chat": 100, GENERAL: 50}]
    assert draws(plan, "train-dual-1", general=300) == [SIZES]
    assert draws(plan, "train-dual-2", general=300) == [{"maths": 4, "code": 2, "chat": 10, GENERAL: 300}]


@pytest.mark.parametrize("first", ["key_tasks", "dual_stage"])
def test_the_first_plan_makes_the_tuned_model(first: str) -> None:
    plan = plan_of(spec_of({**ALL, "plans": [first, "mixed"]}))
    assert plan.stage("eval-tuned").inputs["model"].stage == "train"
    assert plan.stage("compare").inputs["plan.mixed"].stage == "eval-mixed"
    mixture = tuned_mixture(spec_of({**ALL, "plans": [first, "mixed"]}))
    assert bool(mixture.extra) == (first == "key_tasks")
    assert bool(mixture.shares) == (first == "dual_stage")
    assert plan.stage("train").config["mixture"] == mixture.model_dump()
    assert (plan.stage("train").inputs["model"].stage == "train-dual-1") == (first == "dual_stage")


def test_the_mixed_plan_is_the_training_of_a_run_without_plans() -> None:
    """It is made once: the key of the stage says nothing about plans, nor do those of data and evaluation."""
    done = {"data": artifact("data", "data", counts()), "train": artifact("train", "train")}
    alone, beside = plan_of(spec_of({})), plan_of(spec_of(ALL))
    for stage in ("data", "train", "eval-base", "eval-tuned"):
        assert finish(alone, stage, done).key_json == finish(beside, stage, done).key_json
    assert "plans" not in alone.stage("compare").config
    config = CompareConfig(**beside.stage("compare").config, bootstrap_draws=10)
    assert config.plans == ALL["plans"]
    assert "plans" not in CompareConfig(metric="accuracy", confidence=0.9, bootstrap_draws=10, seed=1).model_dump()


def test_auto_looks_at_the_examples_that_a_training_draws_from() -> None:
    plan = plan_of(spec_of(ALL))
    batch = {
        stage: (lambda c: c.micro_batch_size * c.gradient_accumulation_steps)(decided(plan, stage))
        for stage in ("train", "train-sep-2")
    }
    assert batch["train-sep-2"] < batch["train"]
    assert [one.name for one in task_plans(spec_of(ALL))] == ALL["plans"]


@pytest.mark.parametrize("plans", [ALL["plans"], ["dual_stage", "mixed"], ["key_tasks", "separate"]])
def test_names_of_jobs_are_checked_with_the_stages_of_the_plans(plans: list[str], tmp_path: Path) -> None:
    """The longest name of a stage decides how long the name of the run may be."""
    stages = plan_of(spec_of({**ALL, "plans": plans})).stages
    room = names.MAX_JOB_NAME - len(f"-{max((one.name for one in stages), key=len)}-a99")
    folder = RunFolder(tmp_path)
    for task in TASKS:
        folder.write(f"{task}.jsonl", (tmp_path / "train.jsonl").read_bytes())
        folder.write(f"{task}-held.jsonl", (tmp_path / "train.jsonl").read_bytes())
    used = {key: value for key, value in ALL.items() if _used(key, plans)}
    train = {"multi_task": {**used, "plans": plans}}
    for length, problems in ((min(room, names.MAX_RUN_NAME), 0), (room + 1, room < names.MAX_RUN_NAME)):
        spec = {
            "name": "n" * length,
            "model": "model",
            "prompt": "prompt.yaml",
            "data": {"tasks": TASKS},
            "train": train,
        }
        folder.write("run.yaml", json.dumps(spec))
        found = [message for message in folder.messages() if "too many for this run" in message]
        assert len(found) == problems, found


def _used(key: str, plans: list[str]) -> bool:
    return ("key" in key and "key_tasks" in plans) or ("special" in key and "dual_stage" in plans)


def test_the_printed_numbers_of_all_plans_are_what_they_share_and_what_differs() -> None:
    spec = spec_of(ALL, epochs=1, global_batch_size=4, micro_batch_size=4)
    found = numbers(spec, plan_of(spec), DataCounts.model_validate(counts()))
    head, *lines = training_lines(found)
    assert head == (
        "train, train-sep-1, train-sep-2, train-sep-3, train-key, train-dual-1, train-dual-2: "
        "world 1x1 | micro batch 4 | accumulation 1 | global batch 4"
    )
    reasons = [line for line in lines if line.startswith("  ")]
    assert reasons == lines[: len(reasons)], "once, and before what differs"
    assert reasons[0].startswith("  method: the rule for thousands is p_tuning")
    assert reasons[1].startswith("  learning_rate: 0.0005 is where lora usually works")
    assert lines[len(reasons) :][:3] == [
        "train: 40 steps | 1 epoch | 160 supervised tokens",
        "train-sep-1: 10 steps | 1 epoch | 40 supervised tokens",
        "train-sep-2: 5 steps | 1 epoch | 20 supervised tokens",
    ]


def test_a_reason_that_only_some_trainings_have_stays_with_them() -> None:
    few, many = Numbers("world 1x1 | 9 steps", {"method": "a"}), Numbers("world 1x1 | 9 steps", {"method": "b"})
    lines = ["x, y, z: world 1x1 | 9 steps", "x, z: ", "  method: a", "y: ", "  method: b"]
    assert training_lines({"x": few, "y": many, "z": few}) == [line.rstrip(" ") for line in lines]


def test_the_printed_numbers_of_trainings_that_are_alike_are_one_line() -> None:
    spec = make_spec(train={"seeds": 3, "method": "lora"})
    lines = training_lines(numbers(spec, make(spec, make_facts()), DataCounts.model_validate(data_counts(160))))
    assert lines[0].startswith("train, train-2, train-3: world 1x1 | ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert training_lines({}) == []


def test_what_is_said_of_several_evaluations_is_one_line() -> None:
    stages = [finish(make(make_spec(), make_facts()), "data", {}).model_copy(update=update) for update in (
        {"stage": "eval-base", "summary": "9 examples", "reasons": {"seed": "always 0"}},
        {"stage": "compare", "summary": "", "reasons": {}},
        {"stage": "eval-sep-1", "summary": "9 examples", "reasons": {"seed": "always 0"}},
        {"stage": "eval-key", "summary": "9 examples", "reasons": {}},
    )]  # fmt: skip
    assert alike_lines(stages) == ["eval-base, eval-sep-1: 9 examples", "  seed: always 0", "eval-key: 9 examples"]
