"""The ways to train on several tasks (docs/multi-task.md): which trainings each takes, and on what. Pure.

mixed       train                       separate    train-sep-1, train-sep-2, ...   one for each task
key_tasks   train-key                   dual_stage  train-dual-1 ── train-dual-2    goes on from the model of the first

The first plan of a run makes its tuned model: its last training is called `train`, what evaluates it `eval-tuned`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sftjobs.plan.configs import PLAN_ROLE, SEPARATE_ROLE, MixtureConfig
from sftjobs.plan.sampler import GENERAL
from sftjobs.spec.multi_task import SHORT, TaskPlanName
from sftjobs.spec.run import RunSpec


@dataclass(frozen=True)
class Training:
    """One training of a plan."""

    stage: str
    mixture: MixtureConfig
    after: str | None = None
    """The stage whose model it goes on from; None: the base model."""


@dataclass(frozen=True)
class Evaluated:
    """A model of a plan that is evaluated."""

    stage: str
    train: str
    """The stage that makes it."""
    role: str
    """Input of the comparison."""


@dataclass(frozen=True)
class TaskPlan:
    """One way to train on the tasks."""

    name: TaskPlanName
    trainings: list[Training]
    evaluated: list[Evaluated]


def task_plans(spec: RunSpec) -> list[TaskPlan]:
    """The plans of a run; the first one makes the tuned model."""
    first, *others = spec.train.multi_task.plans
    return [_one_model(spec, first, "train", "eval-tuned", "tuned"), *(_further(spec, name) for name in others)]


def tuned_mixture(spec: RunSpec) -> MixtureConfig:
    """How the training that leaves the tuned model draws from the tasks."""
    return task_plans(spec)[0].trainings[-1].mixture


def _further(spec: RunSpec, name: TaskPlanName) -> TaskPlan:
    if name == "separate":
        return _separate(spec)
    short = SHORT[name]
    last = f"train-{short}-2" if name == "dual_stage" else f"train-{short}"
    return _one_model(spec, name, last, f"eval-{short}", f"{PLAN_ROLE}{name}")


def _one_model(spec: RunSpec, name: TaskPlanName, last: str, evaluation: str, role: str) -> TaskPlan:
    """A plan that leaves one model, by the stage `last`."""
    multi = spec.train.multi_task
    before = []
    if name == "key_tasks":
        mixture = _mixed(spec).model_copy(update={"extra": dict.fromkeys(multi.key_tasks, multi.key_epochs)})
    elif name == "dual_stage":
        first = f"train-{SHORT[name]}-1"
        before = [Training(first, _mixture(spec, multi.specialised, general=False))]
        mixture = _second_part(spec)
    else:
        mixture = _mixed(spec)
    trainings = [*before, Training(last, mixture, before[-1].stage if before else None)]
    return TaskPlan(name, trainings, [Evaluated(evaluation, last, role)])


def _separate(spec: RunSpec) -> TaskPlan:
    """A model for each task; each is asked about all of them, which shows what one task does for another."""
    trainings, evaluated = [], []
    for number, task in enumerate(spec.data.tasks, start=1):
        stage = f"{SHORT['separate']}-{number}"
        trainings.append(Training(f"train-{stage}", _mixture(spec, [task])))
        evaluated.append(Evaluated(f"eval-{stage}", f"train-{stage}", f"{SEPARATE_ROLE}{task}"))
    return TaskPlan("separate", trainings, evaluated)


def _mixed(spec: RunSpec) -> MixtureConfig:
    return _mixture(spec, spec.data.tasks)


def _mixture(spec: RunSpec, tasks: Iterable[str], general: bool = True) -> MixtureConfig:
    """Some of the tasks, as often as run.yaml says, with general data in the proportion that it says."""
    chosen = {name: spec.data.tasks[name] for name in tasks}
    data = spec.data.general if general else None
    return MixtureConfig(
        epochs={name: task.epochs or spec.train.epochs for name, task in chosen.items()},
        mix=spec.data.mix,
        weights={name: task.weight for name, task in chosen.items()},
        general_ratio=None if data is None else data.ratio,
        general_max_repeats=1 if data is None else data.max_repeats,
    )


def _second_part(spec: RunSpec) -> MixtureConfig:
    """Dual-stage mixed fine-tuning (Dong et al., arXiv 2310.05492): everything else, and a part of the specialised."""
    multi = spec.train.multi_task
    rest = [name for name in spec.data.tasks if name not in multi.specialised]
    mixture = _mixture(spec, rest, general=False)
    epochs = dict(mixture.epochs)
    if spec.data.general is not None:
        epochs[GENERAL] = spec.train.epochs
    longest = max(epochs.values())
    again = [name for name in multi.specialised if multi.specialised_share > 0]
    return mixture.model_copy(
        update={
            "epochs": {**epochs, **dict.fromkeys(again, longest)},
            "shares": dict.fromkeys(again, multi.specialised_share),
        }
    )
