"""Trackers: tensorboard, mlflow and wandb get what info/metrics.jsonl gets, through the callbacks of transformers.

They find server and key in the environment variables that they document. A tracker is never part of the result: it
works in a thread of its own, and what it cannot do is logged once and forgotten.
"""

import copy
import os
import queue
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import MLflowCallback, TensorBoardCallback, WandbCallback

from jobs.train.checkpoint import Look, Point
from sftjobs.errors import DataError
from sftjobs.names import Exit
from sftjobs.program import Program

PACKAGES = {"mlflow": "mlflow", "tensorboard": "tensorboard", "wandb": "wandb"}
"""Tracker -> module and package that it needs."""
REPLAYED = 500
"""Points of a resumed training that a new attempt sends again: a tracker's run is that of an attempt."""
CLOSING_S = 30
"""How long a tracker may take to send the rest."""

Values = dict[str, float]


def check_trackers(wanted: Sequence[str]) -> None:
    """Raises DataError if a tracker's library is missing."""
    for name in wanted:
        if name not in PACKAGES:
            raise DataError(f"train.report_to: {name!r} is not one of {', '.join(PACKAGES)}")
        if find_spec(PACKAGES[name]) is None:
            raise DataError(
                f"train.report_to: {name} is not installed where the training runs: "
                f"pip install {PACKAGES[name]}, in a cluster in an image made from the train image"
            )


def open_trackers(program: Program) -> list["Tracker"]:
    """The trackers that the operation asks for; rank 0 only."""
    if program.rank != 0:
        return []
    made: list[Tracker] = []
    for name in program.plan.operation.report_to:
        made.append(Tracker(name, _maker(name, program)))
        program.at_end(made[-1].close)
    return made


def _maker(name: str, program: Program) -> Callable[[], TrainerCallback]:
    if name == "mlflow":
        return MLflowCallback
    if name == "wandb":
        return WandbCallback

    def tensorboard() -> TrainerCallback:
        callback = TensorBoardCallback()
        if "TENSORBOARD_LOGGING_DIR" not in os.environ:  # beside metrics.jsonl: it comes with the artifact's info
            callback.logging_dir = str(program.info / "tensorboard")
        return callback

    return tensorboard


class Tracker(threading.Thread):
    """Passes a training's numbers to one callback of transformers. Never raises, and never holds the training up."""

    def __init__(self, name: str, make: Callable[[], TrainerCallback]) -> None:
        super().__init__(name=f"tracker {name}", daemon=True)
        self._make = make
        self._jobs: queue.SimpleQueue[Callable[[TrainerCallback], object] | None] = queue.SimpleQueue()
        self._begun: tuple[TrainingArguments, TrainerState, TrainerControl] | None = None
        self._failed = False

    def begin(self, args: TrainingArguments, state: TrainerState, model: object, run_name: str) -> None:
        """Open the tracker's run."""
        args, state = copy.copy(args), copy.copy(state)
        args.run_name = run_name
        control = TrainerControl()
        self._begun = args, state, control
        self._jobs.put(lambda callback: callback.on_train_begin(args, state, control, model=model))
        self.start()

    def log(self, values: Values, step: int) -> None:
        """Send the values of one step."""
        if self._begun is None or self._failed:
            return
        args, state, control = self._begun
        at = copy.copy(state)
        at.global_step = step
        self._jobs.put(lambda callback: callback.on_log(args, at, control, logs=dict(values)))

    def close(self, code: int) -> None:
        """Close the run; what is not sent in time is lost. `code`: how the program ends."""
        if self._begun is None:
            return
        args, state, control = self._begun
        self._jobs.put(lambda callback: callback.on_train_end(args, state, control))
        self._jobs.put(lambda callback: _finish(callback, code))
        self._jobs.put(None)
        self.join(CLOSING_S)
        if self.is_alive():
            _say(self.name, f"has not sent everything after {CLOSING_S} s; it is left behind")
        self._begun = None

    def run(self) -> None:
        try:
            callback = self._make()
            while (job := self._jobs.get()) is not None:
                job(callback)
        except Exception as error:
            self._failed = True
            _say(self.name, f"failed, and gets nothing more: {type(error).__name__}: {error}")


def _finish(callback: TrainerCallback, code: int) -> None:
    """transformers leaves the end of a run of W&B to the end of the process, which waits for nothing."""
    if isinstance(callback, WandbCallback):
        callback._wandb.finish(exit_code=0 if code == Exit.STOPPED else code)


def step_values(point: Point) -> Values:
    """As `transformers` names them: trackers group by the part before the first underscore."""
    values = {"loss": point.loss, "learning_rate": point.learning_rate, "tokens_per_s": point.tokens_per_s}
    return values | ({} if point.gradient_norm is None else {"grad_norm": point.gradient_norm})


def look_values(look: Look) -> Values:
    """Names that trackers show under `eval`."""
    return {"eval_loss": look.loss} | ({} if look.score is None else {f"eval_{look.metric}": look.score})


def _say(who: str, what: str) -> None:
    print(f"{who} {what}", flush=True)
