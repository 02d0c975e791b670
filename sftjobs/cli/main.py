"""The command line. Each verb is one module, imported only when it is used: `sftjobs --help` must answer at once."""

import importlib
import io
import os
import sys
from pathlib import Path

import click

from sftjobs import __version__
from sftjobs.errors import SftError

VERBS: dict[str, str] = {
    "init": "Write a commented run.yaml, a prompt file and sample data to start from.",
    "check": "Show every problem of run.yaml at once, and what would be trained.",
    "sizes": "Show which model sizes fit the GPUs, with each method.",
    "plan": "Print stages, keys, what is cached and the derived numbers; runs nothing.",
    "run": "Run the chain: data, train, eval, report.",
    "push": "Upload local inputs to the store and write a self-contained run.yaml.",
    "pull": "Download a result of a run: model, adapter, ledger, bad-cases, predictions.",
    "status": "Show where a run is, from the store alone.",
    "logs": "Print the log of a stage; -f follows it.",
    "cancel": "Ask a run to stop; its stages save first.",
    "resume": "Go on with a run that was cancelled, failed or cut off.",
    "report": "Print the comparison of a finished run and where report.html is.",
    "why": "Say what became of one record: which rules looked at it, what dropped it.",
    "explain": "Say which field makes a stage miss the cache.",
    "discard": "Delete the result of one stage, so that it is made again.",
    "ls": "List the runs of a store.",
    "gc": "Delete what no run needs any more; a dry run unless told otherwise.",
    "completion": "Print the shell completion script.",
}
"""Verb -> its line in the help. The module is `sftjobs.cli.<verb>`, with a click command named `command`."""


READER_GONE = 128 + 13
"""Exit code when the reader of the output has gone, as the shell gives it for every other program (SIGPIPE)."""


RUN_IS = "RUN is the name of a run (its newest one) or a run id; `sftjobs ls` lists them."


class LazyVerbs(click.Group):
    """A group that knows its verbs by name and imports one only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"sftjobs.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        if any(parameter.name == "run" for parameter in command.params):
            command.epilog = RUN_IS
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}{hint} `sftjobs --help` lists them.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sftjobs")
def cli() -> None:
    """Tune a language model on your examples and prove on held-out data that it got better.

    \b
    Start here:
      sftjobs init my-task        files to start from
      sftjobs check run.yaml      every problem at once
      sftjobs run run.yaml        data, train, eval, report
    """


def main() -> None:
    """Entry point: a user's mistake ends with its message and exit code, never with a traceback."""
    _prepare_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    _drop_unread()
    sys.exit(code)


def _run() -> int | str | None:
    """Run the verb; returns the exit code."""
    out = sys.stdout
    try:
        code = cli.main(standalone_mode=False)
    except SystemExit as exit_:
        # when the reader has gone, click replaces the streams and exits with 1, which means something else here
        return exit_.code if sys.stdout is out else READER_GONE
    except click.ClickException as error:
        error.show()
        return 10 if isinstance(error, click.UsageError) else error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted; nothing is lost, run the same command again to go on", file=sys.stderr)
        return 130
    except SftError as error:
        from sftjobs.cli.output import show_error  # rich is not needed for `--help`

        show_error(error)
        return int(error.exit_code)
    return code if isinstance(code, int) else 0


def _prepare_streams() -> None:
    """Neither a closed stream (`>&-`) nor a terminal that lacks a character is a reason to fail."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # in JSON, too, this is the same character


def _drop_unread() -> None:
    """The reader of a pipe may have gone (`| head`): what is still in buffers goes nowhere, without a message."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
