"""`sftjobs init NAME`."""

from pathlib import Path

import click

from sftjobs.cli.output import OUTPUT, tell


@click.command("init")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write; default a new folder NAME.")
@click.option("--model", default=None, help="Base model to write into run.yaml: a folder, a GGUF file, hf://org/name.")
@OUTPUT
def command(name: str, folder: Path | None, model: str | None, form: str) -> None:
    """Write a commented run.yaml, a prompt file and sample data to start from.

    Nothing that exists is overwritten.

    \b
    Example:
      sftjobs init tickets --model /models/SmolLM2-135M-Instruct
      cd tickets && sftjobs check run.yaml
    """
    from sftjobs.spec.scaffold import create

    target = folder or Path(name)
    written = create(target, name, model=model)
    lines = [f"  {path}" for path in written]
    lines += [f"next: set `model` in {target / 'run.yaml'}"] if model is None else []
    lines += [f"then: sftjobs check {target / 'run.yaml'}"]
    tell(form, lines, {"written": [str(path) for path in written]})
