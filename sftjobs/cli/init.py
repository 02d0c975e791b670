"""`sftjobs init NAME`."""

from pathlib import Path

import click

from sftjobs.cli.output import console


@click.command("init")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write; default a new folder NAME.")
@click.option("--model", default=None, help="Base model to write into run.yaml: a folder, a GGUF file, hf://org/name.")
def command(name: str, folder: Path | None, model: str | None) -> None:
    """Write a commented run.yaml, a prompt file and sample data to start from.

    Nothing that exists is overwritten.

    \b
    Example:
      sftjobs init tickets --model /models/SmolLM2-135M-Instruct
      cd tickets && sftjobs check run.yaml
    """
    from sftjobs.spec.scaffold import create

    target = folder or Path(name)
    out = console()
    for path in create(target, name, model=model):
        out.print(f"  {path}")
    out.print(f"next: set `model` in {target / 'run.yaml'}" if model is None else "", end="\n" if model is None else "")
    out.print(f"then: sftjobs check {target / 'run.yaml'}")
