"""`make`: run spec and facts -> the graph of stages. Pure: the same spec and facts give the same plan, byte for byte.

import-data<n>? ─┐
        import? ─┴─ data ─┬─ train ──── eval-tuned ────┐
           │              ├─ train-2? ─ eval-tuned-2? ─┤  one for each of `train.seeds`
           │              ├─ train-sep-1? ─ ... ───────┤  those of further plans, see task_plans.py
           └──────────────┼──────────── eval-base ─────┼── compare
                          ├──────────── baselines? ────┤
                          └──────────── eval-previous? ┘
"""

from sftjobs.plan.parts import numbered
from sftjobs.plan.stages_data import data_stage, dataset_stages, import_stage
from sftjobs.plan.stages_eval import (
    BASELINES,
    baselines,
    baselines_stage,
    compare_stage,
    eval_stage,
    previous_stage,
    tuned_stage,
)
from sftjobs.plan.stages_train import train_stage
from sftjobs.plan.task_plans import task_plans
from sftjobs.plan.types import Facts, RunPlan, StageInput, StageNode
from sftjobs.spec.run import RunSpec


def make(spec: RunSpec, facts: Facts) -> RunPlan:
    """The plan of a run: every stage with all that the spec says about it; what depends on data is decided later."""
    model = StageInput(external="model")
    stages: list[StageNode] = []
    importing = import_stage(spec, facts)
    if importing is not None:
        stages.append(importing)
        model = StageInput(stage=importing.name)
    imported = dataset_stages(spec, facts)
    stages += list(imported.values())
    stages += [data_stage(spec, model, imported)]
    tuned, *further = task_plans(spec)
    *before, last = tuned.trainings
    stages += [train_stage(spec, one.stage, one, model, spec.seed) for one in before]
    seeds = range(1, spec.train.seeds + 1)
    stages += [train_stage(spec, numbered(last.stage, n), last, model, spec.seed + n - 1) for n in seeds]
    stages += [train_stage(spec, one.stage, one, model, spec.seed) for plan in further for one in plan.trainings]
    stages += [eval_stage(spec, "eval-base", model)]
    compared = {"base": "eval-base"}
    if baselines(spec):
        stages += [baselines_stage(spec, model)]
        compared["baselines"] = BASELINES
    for number in seeds:
        name = numbered("eval-tuned", number)
        stages += [tuned_stage(spec, name, model, numbered(last.stage, number))]
        compared[numbered("tuned", number)] = name
    for one in (one for plan in further for one in plan.evaluated):
        stages += [tuned_stage(spec, one.stage, model, one.train)]
        compared[one.role] = one.stage
    if facts.previous is not None:
        stages += [previous_stage(spec, model, facts.previous)]
        compared["previous"] = "eval-previous"
    stages += [compare_stage(spec, compared)]
    return RunPlan(
        name=spec.name,
        stages=stages,
        facts=facts,
        parallel_stages=spec.resources.parallel_stages,
        retries=spec.retries.model_dump(),
    )
