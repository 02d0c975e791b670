"""docs/cli.md, generated from the commands themselves.

python -m sftjobs.cli.reference           write it
python -m sftjobs.cli.reference --check   fail if it is not up to date
"""

import inspect
import sys
from pathlib import Path

import click

from sftjobs.cli.main import VERBS, cli

TARGET = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
HEAD = """# Commands

Generated from the commands; `sftjobs VERB --help` shows the same.

Text goes to standard output, progress and errors to standard error. Colours appear on a terminal only; `NO_COLOR=1`
turns them off. `-o json` gives one JSON document; errors stay on standard error, but for the problems that `check` is
asked for. RUN is the name of a run (its newest one) or a run id. Without --store, a verb that takes RUN looks into the
store of ./run.yaml, else into ./.sftjobs.

Exit codes: 0 done; 3 the run failed; 10 a mistake in run.yaml, the data or the command line; 21 store or machine
failed, try again; 23 somebody else is running this run; 130 interrupted; 141 the reader of the output went away
(`| head`).
"""


def render() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="sftjobs")
    parts = [HEAD]
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        parts.append(_section(command, click.Context(command, info_name=verb, parent=context)))
    return "\n".join(parts)


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join(["sftjobs", str(context.info_name), *command.collect_usage_pieces(context)])
    lines = [f"## {context.info_name}", "", f"    {usage}", "", *_help(command)]
    options = [option.get_help_record(context) for option in command.params if isinstance(option, click.Option)]
    rows = [f"| `{_cell(record[0])}` | {_cell(record[1])} |" for record in options if record]
    if rows:
        lines += ["", "| option | meaning |", "|---|---|", *rows]
    return "\n".join([*lines, ""])


def _help(command: click.Command) -> list[str]:
    """The help text; blocks that click must not re-wrap (`\\b`) become code blocks."""
    lines: list[str] = []
    verbatim = False
    for line in inspect.cleandoc(command.help or "").splitlines():
        if line.strip() == "\b":
            verbatim = True
            continue
        verbatim = verbatim and bool(line.strip())
        lines.append(f"    {line}" if verbatim else line)
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write or check the page."""
    text = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text("utf-8") == text:
            return 0
        print(f"{TARGET.name} is not up to date: run `make generate`", file=sys.stderr)
        return 1
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
