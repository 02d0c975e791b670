"""`sftjobs plan`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sftjobs.cli.options import RUN_FILE
from sftjobs.cli.output import console, show_json, table

if TYPE_CHECKING:
    from sftjobs.attempts import Intent
    from sftjobs.cli.context import Planned

FORM = click.Choice(["text", "json", "yaml"])


@click.command("plan")
@RUN_FILE
@click.option("-o", "--output", "form", type=FORM, default="text", help="text, json, or yaml: every Kubernetes object.")
def command(file: Path, form: str) -> None:
    """Print stages, keys, what is cached and the derived numbers. Runs nothing and needs no cluster."""
    from sftjobs.cli.context import plan_file
    from sftjobs.explain import explain
    from sftjobs.plan.preview import preview

    planned = plan_file(file)
    intents = preview(planned.plan, planned.store)
    if form == "yaml":
        _show_objects(planned, intents)
        return
    plans = {intent.plan.stage: intent.plan for intent in intents}
    explanations = explain(planned.plan, planned.store)
    if form == "json":
        stages = [{**plans[e.stage].model_dump(mode="json"), "cached": e.cached, "why": e.text} for e in explanations]
        show_json({"run": planned.plan.name, "store": planned.store.uri, "stages": stages})
        return
    shown = table("stage", "key", "state")
    for explanation in explanations:
        shown.add_row(explanation.stage, plans[explanation.stage].key[:12], explanation.text)
    out = console()
    out.print(f"run {planned.plan.name}, store {planned.store.uri}\n")
    out.print(shown)
    out.print()
    for line in _arithmetic(planned, intents):
        out.print(line)


def _arithmetic(planned: "Planned", intents: "list[Intent]") -> list[str]:
    """Derived numbers and the reasons of what was decided; estimates are marked `~`."""
    from sftjobs.plan.estimate import estimate

    lines: list[str] = []
    for intent in intents:
        stage = intent.plan
        summary = stage.summary
        if stage.stage == "train" and not summary:
            summary = estimate(planned.spec, planned.plan) or ""
        if summary:
            lines.append(f"{stage.stage}: {summary}")
        lines += [f"  {name}: {reason}" for name, reason in stage.reasons.items()]
    return lines


def _show_objects(planned: "Planned", intents: "list[Intent]") -> None:
    import yaml

    from sftjobs.cli.context import store_spec
    from sftjobs.objects import JobSettings, build_job

    class _NoAliases(yaml.SafeDumper):
        """Labels appear twice in a Job; people and tools want them written out."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    settings = JobSettings(store=store_spec(planned.spec))
    jobs = [build_job(intent, settings) for intent in intents]
    print(yaml.dump_all(jobs, Dumper=_NoAliases, sort_keys=False, allow_unicode=True), end="")
