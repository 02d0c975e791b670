"""The derived numbers of `sftjobs plan`, for people."""

from collections.abc import Iterable, Mapping
from itertools import compress

from sftjobs.plan.estimate import Numbers
from sftjobs.plan.types import StagePlan

_BETWEEN = " | "
_ESTIMATED = "~ "


def training_lines(trainings: Mapping[str, Numbers]) -> list[str]:
    """What all trainings have in common once, then what differs, each with its reasons."""
    if not trainings:
        return []
    parts = {name: one.summary.removeprefix(_ESTIMATED).split(_BETWEEN) for name, one in trainings.items()}
    same = [len(set(column)) == 1 for column in zip(*parts.values(), strict=True)]
    first = next(iter(trainings))
    reasons = _shared_reasons([one.reasons for one in trainings.values()])
    mark = _ESTIMATED if trainings[first].summary.startswith(_ESTIMATED) else ""
    lines = _lines(list(trainings), mark + _BETWEEN.join(compress(parts[first], same)), reasons)
    own: dict[tuple[str, ...], list[str]] = {}
    differs = [not one for one in same]
    for name, one in trainings.items():
        numbers = _BETWEEN.join(compress(parts[name], differs))
        why = {what: reason for what, reason in one.reasons.items() if what not in reasons}
        own.setdefault(tuple(_lines([""], mark + numbers, why)), []).append(name)
    for (head, *more), names in own.items() if len(own) > 1 else ():
        lines += [f"{', '.join(names)}{head}", *more]
    return lines


def alike_lines(stages: Iterable[StagePlan]) -> list[str]:
    """What is said of each stage; once for those of which the same is said."""
    said: dict[tuple[str, ...], list[str]] = {}
    for stage in stages:
        if stage.summary or stage.reasons:
            said.setdefault(tuple(_lines([""], stage.summary, stage.reasons)), []).append(stage.stage)
    return [line for (head, *more), names in said.items() for line in (f"{', '.join(names)}{head}", *more)]


def _lines(names: list[str], summary: str, reasons: Mapping[str, str]) -> list[str]:
    return [f"{', '.join(names)}: {summary}".rstrip(), *(f"  {name}: {reason}" for name, reason in reasons.items())]


def _shared_reasons(trainings: list[dict[str, str]]) -> dict[str, str]:
    """Those that all have; of what differs in its figures alone (`8 for 160 examples: the rule`) the rule."""
    found = {}
    for name in trainings[0]:
        whole = {reasons.get(name) for reasons in trainings}
        rules = {reason and reason.partition(": ")[2] for reason in whole}
        for same in (whole, rules):
            if len(same) == 1 and (reason := same.pop()):
                found[name] = reason
                break
    return found
