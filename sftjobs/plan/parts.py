"""What stages of every kind are made of."""

from typing import Any

from sftjobs.plan.types import Operation, Resources
from sftjobs.spec.run import RunSpec, StageResources


def resources(wanted: StageResources, ranks: bool = True) -> Resources:
    """With every default decided. `ranks`: each GPU has a process of its own."""
    processes = wanted.processes_per_node or (max(1, wanted.gpus_per_node) if ranks else 1)
    return Resources(**{**wanted.model_dump(), "processes_per_node": processes})


def operation(spec: RunSpec, **more: Any) -> Operation:
    """What never enters a key."""
    return Operation(
        hang_after_s=spec.limits.hang_after_s,
        stage_time_s=spec.limits.stage_time_s,
        grace_s=spec.limits.grace_s,
        group_wait_s=spec.limits.group_wait_s,
        **more,
    )


def numbered(name: str, number: int) -> str:
    """Name of what belongs to the `number`th seed; the first one has none."""
    return name if number == 1 else f"{name}-{number}"
