"""A metric of the user's own: a function in a Python file."""

import inspect
import math
import sys
import types
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from traceback import extract_tb
from typing import Any

from jobs.answers.metrics.base import Answered, Metric
from sftjobs.errors import DataError

SIGNATURE = "score(expected: str, answer: str, example: dict) -> float"


def user_metric(name: str, path: Path, function: str) -> Metric:
    """The metric `function` of the file at `path`. Raises DataError if there is none that can be called.

    It is a metric of right and wrong if it is annotated `-> bool`, else one of kind `mean`.
    """
    call = _function(name, path, function)
    binary = inspect.signature(call).return_annotation in (bool, "bool")

    def score(one: Answered) -> bool | float:
        told = _call(name, path, call, one)
        return _right_or_wrong(name, one, told) if binary else _number(name, one, told)

    return Metric(name, "binary" if binary else "mean", score)


def _function(name: str, path: Path, function: str) -> Callable[..., Any]:
    # Not imported but compiled: nothing is written beside the file, which is an input.
    module = types.ModuleType(f"user_metric_{name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look there for the module of a class
    try:
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise DataError(f"metric {name!r}: {path.name} cannot be loaded: {_where(error, path)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        defined = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        others = f"it defines {', '.join(sorted(defined))}" if defined else "it defines no function"
        raise DataError(
            f"metric {name!r}: {path.name} has no function {function!r} ({others}). Set `function:` of the metric in "
            f"eval.metrics, or define {function}{SIGNATURE.removeprefix('score')}"
        )
    try:
        inspect.signature(found).bind("", "", {})
    except TypeError as error:
        raise DataError(f"metric {name!r}: {function} in {path.name} must be {SIGNATURE}: {error}") from error
    result: Callable[..., Any] = found
    return result


def _call(name: str, path: Path, call: Callable[..., Any], one: Answered) -> Any:
    try:
        return call(one.expected_text, one.text, deepcopy(dict(one.fields)))
    except (Exception, SystemExit) as error:
        raise DataError(f"metric {name!r} failed for example {one.fields['id']}: {_where(error, path)}") from error


def _where(error: BaseException, path: Path) -> str:
    """The error with the last line of the user's file that led to it."""
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{told} ({path.name}:{error.lineno}: {(error.text or '').strip()})"
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{told} ({path.name}:{frames[-1].lineno}: {frames[-1].line})" if frames else told


def _right_or_wrong(name: str, one: Answered, told: Any) -> bool:
    number = _number(name, one, told)
    if number not in (0.0, 1.0):
        raise DataError(f"metric {name!r} gave {told!r} for example {one.fields['id']}, but it is annotated -> bool")
    return number == 1.0


def _number(name: str, one: Answered, told: Any) -> float:
    """Numbers of numpy are numbers too."""
    try:
        number = float(told) if not isinstance(told, str | bytes) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise DataError(
            f"metric {name!r} gave {told!r} for example {one.fields['id']}: a score is a number from 0 to 1, or a bool"
        )
    return number
