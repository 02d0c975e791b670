"""`sftjobs check`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sftjobs.cli.options import RUN_FILE
from sftjobs.cli.output import OUTPUT, console, show_json
from sftjobs.cli.release_options import CLUSTER

if TYPE_CHECKING:
    from sftjobs.cli.context import Planned
    from sftjobs.spec.load import Loaded


@click.command("check")
@RUN_FILE
@click.option("--show", type=click.IntRange(min=0), default=3, show_default=True, help="Rendered examples to show.")
@click.option("--resolved", is_flag=True, help="Also print run.yaml with every default filled in.")
@CLUSTER
@OUTPUT
def command(file: Path, show: int, resolved: bool, cluster_file: Path | None, form: str) -> None:
    """Show every problem of run.yaml, the prompt and the data at once, and what would be trained.

    Renders a few examples with the trained tokens marked, counts tokens and labels, and gives advice with reasons:
    method, batch, precision, memory, time. With --cluster it is for the GPUs that the file's block gpu describes, and
    says what they cost. Writes nothing. Exit code 10 if there is a problem.
    """
    from dataclasses import asdict

    from sftjobs.cli.check_advice import show_advice, step_advice, training_advice
    from sftjobs.cli.check_view import show_answer
    from sftjobs.cli.context import plan_loaded, store_spec
    from sftjobs.errors import SpecError
    from sftjobs.spec.cluster import ClusterSpec
    from sftjobs.spec.cluster_load import load_cluster
    from sftjobs.spec.load import load
    from sftjobs.store.open import open_store

    try:
        loaded = load(file)
    except SpecError as error:
        if form == "json":  # problems are what this verb is asked for, in the same form as those of the data
            show_json({"problems": [{**asdict(problem), "column": None} for problem in error.problems]})
            sys.exit(10)
        raise
    cluster = load_cluster(cluster_file) if cluster_file else ClusterSpec()
    out, progress = console(), console(stderr=True)
    if form == "text":
        out.print(f"{file}: no problem in run.yaml and the prompt")
    planned = plan_loaded(loaded, open_store(store_spec(loaded.spec), loaded.folder))
    with progress.status("reading the data"):
        answer = _ask(planned, show)
    folder = _model_folder(planned)
    answer["problems"] += _beyond_positions(planned, answer["tables"], folder)
    answer["lint"] = _lint(loaded, answer.pop("facts", None))
    rows, notes = training_advice(planned, answer["tables"], folder, cluster)
    answer["training"] = rows
    answer["advice"] += step_advice(planned, answer["tables"])
    answer["notes"] += notes
    if form == "json":
        show_json(answer)
    else:
        if resolved:
            from sftjobs.spec.render import render_spec

            out.print(render_spec(planned.spec))
        show_answer(answer, out)
        if not answer["problems"]:
            show_advice(rows, out)
    sys.exit(10 if answer["problems"] else 0)


def _lint(loaded: "Loaded", facts: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What makes the prompt harder to follow than it has to be; `facts` are of the data, if they are known."""
    from sftjobs.lint import Collision, Facts, lint, lint_data
    from sftjobs.spec.prompt import PromptSpec

    prompt = loaded.spec.prompt
    assert isinstance(prompt, PromptSpec)
    found = lint(prompt, loaded.prompt_source)
    if facts is not None:
        facts["collisions"] = tuple(Collision(**one) for one in facts["collisions"])
        found += lint_data(prompt, Facts(**facts), loaded.prompt_source)
    return [{**one.as_json(), "text": str(one)} for one in found]


def _beyond_positions(planned: "Planned", tables: dict[str, Any], folder: str | None) -> list[dict[str, Any]]:
    """What the train stage would say before its first step, as far as it is known: examples longer than the model."""
    from sftjobs.plan.positions import beyond, context_in
    from sftjobs.spec.train import PROMPT_LEARNING

    tokens, train = tables.get("tokens"), planned.spec.train
    limit = context_in(Path(folder)) if folder is not None else None
    if not tokens or limit is None or tokens["too_long"]:
        return []  # how long those are that are left is not known then
    virtual = train.prompt_learning.virtual_tokens if train.method in PROMPT_LEARNING else 0
    message = beyond(tokens["max"], virtual, limit)
    place = {"kind": "model", "file": "model", "line": None, "column": None}
    return [{**place, "message": message}] if message else []


def _ask(planned: "Planned", show: int) -> dict[str, Any]:
    """Start the part that needs the data stage's code, and return its answer."""
    import json
    import subprocess
    import tempfile

    from sftjobs.errors import SftError
    from sftjobs.plan.stages_data import data_config
    from sftjobs.plan.task_plans import tuned_mixture
    from sftjobs.spec.places import is_local

    externals = planned.plan.facts.externals
    local = {name: item.source for name, item in externals.items() if name != "model" and is_local(item.source)}
    away = [name for name in planned.plan.stage("data").inputs if name != "model" and name not in local]
    if away:
        note = f"not looked at, because they are not on this machine: {', '.join(away)}"
        return {"problems": [], "tables": {}, "rendered": [], "advice": [], "notes": [note]}
    request = {
        "model": _model_folder(planned),
        "config": data_config(planned.spec).model_dump(mode="json"),
        "mixture": tuned_mixture(planned.spec).model_dump(mode="json"),
        "inputs": local,
        "show": show,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request), "utf-8")
        command = [sys.executable, "-m", "jobs.data.check", "--request", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SftError(f"looking at the data failed:\n{done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _model_folder(planned: "Planned") -> str | None:
    """The base model as a folder on this machine: given so, or imported before; None if there is none yet."""
    from sftjobs import names
    from sftjobs.plan.committed import committed

    node = planned.plan.stage("data").inputs["model"]
    if node.external is not None:
        source = planned.plan.facts.externals["model"].source
        return source if Path(source).is_dir() else None
    imported = committed(planned.plan, planned.store).get(node.stage or "")
    if imported is None:
        return None
    ref = imported.ref
    content = f"{names.incarnation_prefix(ref.kind, ref.key, ref.incarnation)}{names.CONTENT}/config.json"
    config = planned.store.local_path(content)
    return str(config.parent) if config is not None else None
