"""Rules about `train.multi_task` in run.yaml."""

from collections.abc import Iterator, Sequence

from sftjobs.errors import Problem
from sftjobs.spec.multi_task import TaskPlanName
from sftjobs.spec.source import Written
from sftjobs.spec.train import PROMPT_LEARNING
from sftjobs.spec.words import listed, nearest

Problems = Iterator[Problem]
WHERE = ("train", "multi_task")


def problems(written: Written) -> Problems:
    """Everything that the rules find."""
    for rule in (plans, named_tasks, no_effect, dual_stage, seeds, held_out_by_task):
        yield from rule(written)


def plans(written: Written) -> Problems:
    """Each plan once, one that makes a single model first, and something that makes plans differ."""
    wanted = written.spec.train.multi_task.plans
    where = (*WHERE, "plans")
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    if twice:
        yield written.run.problem(where, f"{listed(twice, 'and')} stands here twice; name each plan once")
    if wanted[0] == "separate":
        message = (
            "separate cannot be the first plan: it leaves a model for each task, and the first plan makes the one "
        )
        message += "tuned model of the run; write plans: [mixed, separate]"
        yield written.run.problem(where, message)
    if "separate" in wanted and len(written.spec.data.tasks) < 2:
        message = "separate needs at least two tasks, and data.tasks has one; remove it"
        yield written.run.problem(where, message)


def named_tasks(written: Written) -> Problems:
    """The tasks that a plan is about are there, and are not all that there is."""
    multi, tasks = written.spec.train.multi_task, written.spec.data.tasks
    lists: tuple[tuple[str, TaskPlanName, Sequence[str]], ...] = (
        ("key_tasks", "key_tasks", multi.key_tasks),
        ("specialised", "dual_stage", multi.specialised),
    )
    for field, plan, named in lists:
        where = (*WHERE, field)
        if plan not in multi.plans:
            if named:
                yield written.run.problem(where, f"has no effect without plan {plan}; add it to plans, or remove this")
            continue
        if not named:
            message = f"plan {plan} needs it: write {field}: [{next(iter(tasks))}] with the tasks that it is about"
            yield written.run.problem(where, message)
        for index, task in enumerate(named):
            if task not in tasks:
                meant = nearest(task, tasks)
                hint = f"did you mean {meant}? " if meant else ""
                message = f"'{task}' is no task; {hint}data.tasks has {listed(tasks, 'and')}"
                yield written.run.problem((*where, index), message)
            elif task in named[:index]:
                yield written.run.problem((*where, index), f"'{task}' stands here twice; remove one")


def no_effect(written: Written) -> Problems:
    """No setting without effect."""
    multi = written.spec.train.multi_task
    for field, plan in (("key_epochs", "key_tasks"), ("specialised_share", "dual_stage")):
        if field in multi.model_fields_set and plan not in multi.plans:
            message = f"has no effect without plan {plan}; add it to plans, or remove this"
            yield written.run.problem((*WHERE, field), message)


def dual_stage(written: Written) -> Problems:
    """The second part needs something to train on, and goes on from a model."""
    spec = written.spec
    multi, where = spec.train.multi_task, (*WHERE, "plans")
    if "dual_stage" not in multi.plans:
        return
    if multi.specialised and set(spec.data.tasks) <= set(multi.specialised) and spec.data.general is None:
        message = "names every task, so nothing is left for the second part; add data.general, or name fewer tasks"
        yield written.run.problem((*WHERE, "specialised"), message)
    if spec.train.method in PROMPT_LEARNING:
        message = (
            f"dual_stage does not go with method {spec.train.method}: the second part goes on from the model that "
        )
        message += (
            "the first part leaves, and this method leaves an adapter alone; use a method of the LoRA family or full"
        )
        yield written.run.problem(where, message)
    if spec.data.mix.mode != "epochs":
        message = (
            f"dual_stage does not go with data.mix.mode {spec.data.mix.mode}: how much of a task its parts hold is "
        )
        message += "counted in passes; use mode: epochs"
        yield written.run.problem(where, message)


def seeds(written: Written) -> Problems:
    """One training per plan and part."""
    train = written.spec.train
    if train.seeds > 1 and (len(train.multi_task.plans) > 1 or "dual_stage" in train.multi_task.plans):
        message = f"{train.seeds} does not go with train.multi_task.plans {listed(train.multi_task.plans, 'and')}; "
        message += "compare the plans with one seed, then train the plan that you choose with several"
        yield written.run.problem(("train", "seeds"), message)


def held_out_by_task(written: Written) -> Problems:
    """Plans are compared task by task."""
    data = written.spec.data
    if len(written.spec.train.multi_task.plans) > 1 and len(data.tasks) > 1 and data.held_out.path is not None:
        message = (
            "says of no example to which task it belongs, and plans are compared task by task; give each task its "
        )
        message += "own file (data.tasks.<name>.held_out), or set data.held_out to {fraction: 0.1}"
        yield written.run.problem(("data", "held_out", "path"), message)
