"""What would be submitted: one intent per stage, with what is not known yet said in its key."""

from sftjobs import names
from sftjobs.attempts import Intent
from sftjobs.plan.committed import committed
from sftjobs.plan.finish import finish, ready
from sftjobs.plan.types import FinishedInput, RunPlan, StageNode, StagePlan
from sftjobs.store.base import Store

AFTER_INPUTS = "after-inputs"
"""Instead of a key that depends on what earlier stages leave."""


def preview(plan: RunPlan, store: Store) -> list[Intent]:
    """The first attempt of every stage, as if nothing had been tried. Nothing is written."""
    done = committed(plan, store)
    inputs = {name: (item.ref, item.manifest) for name, item in done.items()}
    return [
        Intent(
            run_id=plan.name,
            attempt=0,
            job=names.job_name(plan.name, node.name, 0),
            plan=finish(plan, node.name, inputs) if ready(node, inputs) else _unfinished(plan, node),
            created=0.0,
        )
        for node in plan.stages
    ]


def _unfinished(plan: RunPlan, node: StageNode) -> StagePlan:
    known = {
        name: FinishedInput(external=plan.facts.externals[item.external], folder=item.folder, include=item.include)
        for name, item in node.inputs.items()
        if item.external is not None
    }
    return StagePlan(
        run=plan.name,
        stage=node.name,
        kind=node.kind,
        program=node.program,
        key=AFTER_INPUTS,
        key_json={},
        config=node.config,
        inputs=known,
        resources=node.resources,
        operation=node.operation,
    )
